//go:build linux

package alerts_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"switchd/gate"
	"switchd/spec"
)

// TestSilence_FollowsTheWholeChain has Prometheus evaluate a rule and Alertmanager
// silence what comes of it, which Prometheus knows nothing of.
func TestSilence_FollowsTheWholeChain(t *testing.T) {
	t.Parallel()
	c := startChain(t, "http://127.0.0.1:1/") // nobody is there to be told
	asking := func(sources spec.AlertSources) verdicts { return hear(t, silence(0, sources)) }
	manager, prometheus := asking(spec.AlertSources{Alertmanager: []string{c.alertmanager}}), asking(spec.AlertSources{Prometheus: []string{c.prometheus}})
	both := asking(spec.AlertSources{Alertmanager: []string{c.alertmanager}, Prometheus: []string{c.prometheus}})
	for _, all := range []verdicts{manager, prometheus, both} {
		all.await(t, gate.Pass, `no alert that meets service="web" and severity=~"critical|page" fires`)
	}
	c.failing.Store(1)
	for _, all := range []verdicts{manager, prometheus, both} {
		all.await(t, gate.Unknown, "alert HighErrorRate fires since ")
	}
	mute(t, c.alertmanager)
	manager.await(t, gate.Pass, "fires")
	select {
	case v := <-both:
		t.Errorf("Prometheus has the alert fire, and it is %s: %s", v.Outcome, v.Why)
	default:
	}
	c.failing.Store(0)
	prometheus.await(t, gate.Pass, "fires")
	both.await(t, gate.Pass, "fires")
	c.kill()
	manager.await(t, gate.Unknown, "it is not known whether an alert")
	both.await(t, gate.Unknown, "it is not known whether an alert")
}

// mute silences the alerts of web in Alertmanager.
func mute(t *testing.T, alertmanager string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"matchers":  []map[string]any{{"name": "service", "value": "web", "isRegex": false, "isEqual": true}},
		"startsAt":  time.Now(),
		"endsAt":    time.Now().Add(time.Hour),
		"createdBy": "test",
		"comment":   "they are known",
	})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, alertmanager+"/api/v2/silences", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("Alertmanager answers %d", response.StatusCode)
	}
}
