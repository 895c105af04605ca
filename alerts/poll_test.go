package alerts_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/alerts"
	"switchd/rollout"
	"switchd/spec"
)

// asked is a canary whose halter asks the servers when told to.
func asked(t *testing.T, sources spec.AlertSources) (b *book, registry *prometheus.Registry, log *bytes.Buffer, poll func()) {
	t.Helper()
	declared := service("web")
	b, registry, log = newBook(declared), prometheus.NewRegistry(), new(bytes.Buffer)
	h := &alerts.Halter{Rollouts: b, Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: alerts.NewMetrics(registry)}
	if err := h.Know(spec.Environment{Name: "prod", Alerts: &sources}, declared); err != nil {
		t.Fatal(err)
	}
	for _, operation := range []func(rollout.Situation) (*rollout.Change, error){promote, to(rollout.Canary)} {
		if _, err := b.Do(t.Context(), "web", "test", operation); err != nil {
			t.Fatal(err)
		}
	}
	once := h.Poller()
	return b, registry, log, func() { once(t.Context()) }
}

func TestPoll_TakesAnOutageForUnknown(t *testing.T) {
	t.Parallel()
	const firing = `[{"labels":{"alertname":"HighErrorRate","service":"web"},"startsAt":%q,"status":{"state":"active"}},{"labels":{}},{"startsAt":"2026-01-02T03:04:05Z"}]`
	s := newServer(t, "")
	b, registry, log, poll := asked(t, spec.AlertSources{Alertmanager: []string{s.URL + "/"}, Every: spec.Duration(time.Second)})
	name := "alertmanager at " + s.URL + "/"
	for _, outage := range []func(){
		func() { s.fail(http.StatusInternalServerError) },
		func() { s.fail(http.StatusFound) },
		func() { s.say("<html>") },
		func() { s.say(`{"alerts":[]}`) },
		func() { s.say(`{}`) },
	} {
		outage()
		poll()
	}
	if b.s.Record.Phase != rollout.Canary {
		t.Errorf("halted for an outage: %+v", b.s.Record.Halt)
	}
	if got := strings.Count(log.String(), "alerts are not known"); got != 1 {
		t.Errorf("told %d times:\n%s", got, log)
	}
	if got := metric(t, registry, "switchd_alerts_poll_failures_total", "server", name); got != 5 {
		t.Errorf("counted %v failures of %s", got, name)
	}
	s.say(fmt.Sprintf(firing, time.Now().Format(time.RFC3339Nano)))
	poll()
	if h := b.s.Record.Halt; h == nil || !strings.Contains(h.Why, "told by alertmanager, asked for its alerts") {
		t.Errorf("halt %+v", h)
	}
	if !strings.Contains(log.String(), "alerts are known again") {
		t.Errorf("it isn't told that they are known again:\n%s", log)
	}
	if got := metric(t, registry, "switchd_alerts_poll_success_timestamp_seconds", "server", name); time.Since(time.Unix(int64(got), 0)) > time.Minute {
		t.Errorf("last success %v", got)
	}
	if want := "/api/v2/alerts?active=true&silenced=false&inhibited=false&unprocessed=false"; s.paths[0] != want {
		t.Errorf("asked for %s, want %s", s.paths[0], want)
	}
}

// Prometheus tells since when an alert's expression holds, and it fires only
// after that: what counts is when it has begun to fire.
func TestPoll_CountsFromWhenPrometheusBeganToFire(t *testing.T) {
	t.Parallel()
	const rules = `{"status":"success","data":{"groups":[{"interval":30,"rules":[{"type":"alerting","duration":%d,"alerts":[` +
		`{"state":"pending","labels":{"alertname":"Pending","service":"web"},"activeAt":%q},` +
		`{"state":"firing","labels":{"alertname":"Firing","service":"web"},"activeAt":%q}]}]}]}}`
	for _, c := range []struct {
		hold int
		want rollout.Phase
	}{{0, rollout.Canary}, {30, rollout.Canary}, {100, rollout.Halted}} {
		minuteAgo := time.Now().Add(-time.Minute).Format(time.RFC3339Nano)
		s := newServer(t, fmt.Sprintf(rules, c.hold, time.Now().Format(time.RFC3339Nano), minuteAgo))
		b, _, _, poll := asked(t, spec.AlertSources{Prometheus: []string{s.URL}, Every: spec.Duration(time.Second)})
		poll()
		if b.s.Record.Phase != c.want {
			t.Errorf("for %d s: the rollout is in %s, want %s", c.hold, b.s.Record.Phase, c.want)
		}
		if b.s.Record.Halt != nil && b.s.Record.Halt.By != "alert Firing" {
			t.Errorf("halt %+v", b.s.Record.Halt)
		}
	}
}

func TestPoll_SaysThatAnAnswerIsTooLarge(t *testing.T) {
	t.Parallel()
	s := newServer(t, "["+strings.Repeat(" ", 16<<20)+"]")
	_, _, log, poll := asked(t, spec.AlertSources{Alertmanager: []string{s.URL}, Every: spec.Duration(time.Second)})
	poll()
	if want := "the answer has more than 16777216 bytes"; !strings.Contains(log.String(), want) {
		t.Errorf("got %s, want %q", log, want)
	}
}

// What can't be had of an answer is unknown; what is there counts.
func TestPoll_HaltsForWhatItCanRead(t *testing.T) {
	t.Parallel()
	fires := fmt.Sprintf(`{"labels":{"alertname":"HighErrorRate","service":"web"},"startsAt":%q}`, time.Now().Add(time.Minute).Format(time.RFC3339Nano))
	for name, c := range map[string]struct{ body, want string }{
		"BesideAStrangeOne": {`[{"labels":{"n":1}},` + fires + `]`, "alert 1 of 2: "},
		"InAStorm":          {`[` + strings.Repeat(fires+",", 10_000) + fires + `]`, "10001 alerts fire, and only the first 10000 are read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _, log, poll := asked(t, spec.AlertSources{Alertmanager: []string{newServer(t, c.body).URL}, Every: spec.Duration(time.Second)})
			poll()
			if b.s.Record.Phase != rollout.Halted {
				t.Errorf("the rollout is in %s", b.s.Record.Phase)
			}
			if !strings.Contains(log.String(), c.want) {
				t.Errorf("got %s, want %q", log, c.want)
			}
		})
	}
}

func TestPending_IsAWholeNumberOfEvaluations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hold, interval float64
		want           time.Duration
	}{
		{0, 15, 0},
		{60, 15, time.Minute},
		{61, 15, 75 * time.Second},
		{1, 60, time.Minute},
		{90, 0, 90 * time.Second},
		{-5, 15, 0},
		{1e300, 1, 365 * 24 * time.Hour},
	} {
		if got := alerts.Pending(c.hold, c.interval); got != c.want {
			t.Errorf("for %v each %v s: got %s, want %s", c.hold, c.interval, got, c.want)
		}
	}
}

func TestPoll_ForgetsAServerThatIsNotAskedAnyMore(t *testing.T) {
	t.Parallel()
	s := newServer(t, "[]")
	declared := service("web")
	registry := prometheus.NewRegistry()
	h := &alerts.Halter{Rollouts: newBook(declared), Log: discard(), Metrics: alerts.NewMetrics(registry)}
	poll := h.Poller()
	const series = "switchd_alerts_poll_success_timestamp_seconds"
	for _, sources := range []*spec.AlertSources{{Alertmanager: []string{s.URL}}, nil} {
		if err := h.Know(spec.Environment{Name: "prod", Alerts: sources}, declared); err != nil {
			t.Fatal(err)
		}
		poll(t.Context())
		if got := metric(t, registry, series, "server", "alertmanager at "+s.URL); (got > 0) != (sources != nil) {
			t.Errorf("with %+v: got %v", sources, got)
		}
	}
}
