package alerts_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"switchd/alerts"
	"switchd/gate"
	"switchd/spec"
)

// verdicts are what a silence reports, one after the other.
type verdicts chan gate.Verdict

// hear has a silence watched until the test ends.
func hear(t *testing.T, s alerts.Silence) verdicts {
	t.Helper()
	all, ended := make(verdicts, 1000), make(chan struct{})
	go func() {
		defer close(ended)
		s.Watch(t.Context(), func(v gate.Verdict) { all <- v })
	}()
	t.Cleanup(func() { <-ended }) // the test's context has ended by then
	return all
}

// await waits for a report, whatever comes before.
func (all verdicts) await(t *testing.T, outcome gate.Outcome, words string) gate.Verdict {
	t.Helper()
	var last gate.Verdict
	for timeout := time.After(30 * time.Second); ; {
		select {
		case last = <-all:
			if last.Outcome == outcome && strings.Contains(last.Why, words) {
				return last
			}
		case <-timeout:
			t.Fatalf("the last is %s: %s\nwant %s: %s", last.Outcome, last.Why, outcome, words)
		}
	}
}

// silence is one of the alerts of web that wake somebody.
func silence(lasts time.Duration, sources spec.AlertSources) alerts.Silence {
	sources.Every = spec.Duration(100 * time.Millisecond)
	return alerts.Silence{
		Of:      spec.Silence{Name: "quiet", Match: []string{"service={{service}}", "severity=~critical|page"}, For: spec.Duration(lasts)},
		Vars:    spec.Vars{Service: "web", Pool: "green", Version: "2.0.0"},
		Sources: &sources,
	}
}

// fires is an answer of Alertmanager.
func fires(name, service, severity string) string {
	return fmt.Sprintf(`{"labels":{"alertname":%q,"service":%q,"severity":%q},"startsAt":"2026-01-02T03:04:05Z"}`, name, service, severity)
}

func TestSilence_HoldsWhileAnAlertFiresThatMeetsAllMatchers(t *testing.T) {
	t.Parallel()
	s := newServer(t, "["+fires("Slow", "web", "info")+","+fires("Errors", "shop", "page")+"]")
	all := hear(t, silence(0, spec.AlertSources{Alertmanager: []string{s.URL}}))
	all.await(t, gate.Pass, `no alert that meets service="web" and severity=~"critical|page" fires`)
	s.say("[" + fires("Errors", "web", "page") + "," + fires("Errors", "web", "critical") + "," + fires("Errors", "web", "page") + "]")
	v := all.await(t, gate.Unknown, "alert Errors fires since 2026-01-02 03:04:05 UTC, and 1 more")
	if want := `alert Errors fires with {alertname="Errors", service="web", severity="critical"}, says alertmanager`; len(v.Evidence) != 2 || v.Evidence[0] != want {
		t.Errorf("evidence %q, want %q first of 2", v.Evidence, want)
	}
	s.fail(http.StatusInternalServerError)
	all.await(t, gate.Unknown, `it is not known whether an alert that meets service="web" and severity=~"critical|page" fires: ask alertmanager at `+s.URL)
	s.say("[]")
	all.await(t, gate.Pass, "fires")
}

// What is quiet must be so for as long as the spec says, without a break and
// without a look that doesn't know.
func TestSilence_BeginsAnewAfterEachBreak(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*server){
		"ByAnAlert":   func(s *server) { s.say("[" + fires("Errors", "web", "page") + "]") },
		"ByAnOutage":  func(s *server) { s.fail(http.StatusBadGateway) },
		"ByNonsense":  func(s *server) { s.say(`{"alerts":[]}`) },
		"ByAStranger": func(s *server) { s.say(`[{"labels":{"n":1}}]`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "[]")
			const lasts = 450 * time.Millisecond
			all := hear(t, silence(lasts, spec.AlertSources{Alertmanager: []string{s.URL}}))
			all.await(t, gate.Unknown, "that must last for 450ms")
			breaks(s)
			all.await(t, gate.Unknown, "")
			again := time.Now()
			s.say("[]")
			all.await(t, gate.Unknown, "that must last for 450ms")
			all.await(t, gate.Pass, "has fired for 450ms")
			if took := time.Since(again); took < lasts {
				t.Errorf("it passed after %s of silence", took)
			}
		})
	}
}

// One Alertmanager is sent all alerts; each Prometheus has rules of its own.
func TestSilence_NeedsAnAlertmanagerAndEveryPrometheus(t *testing.T) {
	t.Parallel()
	const (
		quiet = iota
		firing
		away
	)
	servers := func(t *testing.T, empty, full string, states ...int) (urls []string) {
		t.Helper()
		for _, state := range states {
			s := newServer(t, empty)
			switch state {
			case firing:
				s.say(full)
			case away:
				s.fail(http.StatusServiceUnavailable)
			}
			urls = append(urls, s.URL)
		}
		return urls
	}
	const rule = `{"status":"success","data":{"groups":[{"interval":1,"rules":[{"alerts":[{"state":%q,"labels":{"alertname":"Errors","service":"web","severity":"page"},"activeAt":"2026-01-02T03:04:05Z"}]}]}]}}`
	for name, c := range map[string]struct {
		managers, prometheuses []int
		outcome                gate.Outcome
		why                    string
	}{
		"AllQuiet":                        {[]int{quiet, quiet}, []int{quiet, quiet}, gate.Pass, "fires"},
		"OneAlertmanagerIsAway":           {[]int{away, quiet}, []int{quiet}, gate.Pass, "fires"},
		"AllAlertmanagersAreAway":         {[]int{away, away}, []int{quiet}, gate.Unknown, "it is not known"},
		"OnePrometheusIsAway":             {[]int{quiet}, []int{quiet, away}, gate.Unknown, "it is not known"},
		"OneAlertmanagerSaysSo":           {[]int{quiet, firing}, nil, gate.Unknown, "alert Errors fires"},
		"OneSaysSoAndTheOthersAreAway":    {[]int{away, firing}, []int{away}, gate.Unknown, "alert Errors fires"},
		"OnePrometheusSaysSo":             {[]int{quiet}, []int{quiet, firing}, gate.Unknown, "alert Errors fires"},
		"OnlyAPrometheus":                 {nil, []int{quiet}, gate.Pass, "fires"},
		"TheOnlyPrometheusIsAway":         {nil, []int{away}, gate.Unknown, "it is not known"},
		"TheOnlyAlertmanagerIsAway":       {[]int{away}, nil, gate.Unknown, "it is not known"},
		"BothToldOfTheSame":               {[]int{firing, firing}, []int{firing}, gate.Unknown, "alert Errors fires since 2026-01-02 03:04:05 UTC"},
		"ThereIsNobodyWhoCouldTell":       {nil, nil, gate.Unknown, "the environment has no alerts block"},
		"ThePrometheusOnlyHasItPending":   {nil, []int{quiet}, gate.Pass, "fires"},
		"AnAlertmanagerKnowsNoneThatMeet": {[]int{quiet}, nil, gate.Pass, "fires"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := hear(t, silence(0, spec.AlertSources{
				Alertmanager: servers(t, "["+fires("Errors", "shop", "page")+"]", "["+fires("Errors", "web", "page")+"]", c.managers...),
				Prometheus:   servers(t, fmt.Sprintf(rule, "pending"), fmt.Sprintf(rule, "firing"), c.prometheuses...),
			})).await(t, c.outcome, c.why)
			if strings.Contains(v.Why, "more") {
				t.Errorf("an alert is counted twice: %s", v.Why)
			}
		})
	}
}

func TestSilence_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := silence(0, spec.AlertSources{Alertmanager: []string{newServer(t, "[]").URL}})
	s.Of.Match = []string{"severity=="}
	hear(t, s).await(t, gate.Unknown, `silence "quiet": matcher "severity=="`)
	s.Sources = nil
	s.Of.Match = []string{"severity=page"}
	hear(t, s).await(t, gate.Unknown, `silence "quiet": nobody can tell which alerts fire: the environment has no alerts block`)
}
