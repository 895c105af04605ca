package alerts_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/alerts"
	"switchd/consul"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestHalter_OnConsul has real rollouts in a real Consul, each test in an
// environment of its own.
func TestHalter_OnConsul(t *testing.T) {
	t.Parallel()
	client := devconsul.Start(t, nil).Client()
	for name, test := range map[string]func(*testing.T, *consul.Client){
		"ActsInEachPhase":                            actsInEachPhase,
		"LeavesAloneWhatSomebodyKnew":                leavesAloneWhatSomebodyKnew,
		"RollsBackWhatIsHaltedInItsBake":             rollsBackWhatIsHaltedInItsBake,
		"HaltsWhenTheFormerPoolFailsAtTheLastMoment": haltsWhenTheFormerPoolFailsAtTheLastMoment,
		"ResumesOnlyWhatTheAlertAloneHasHalted":      resumesOnlyWhatTheAlertAloneHasHalted,
		"IgnoresAFiringThatCameAfterItsEnd":          ignoresAFiringThatCameAfterItsEnd,
		"TakesAThousandAlertsAsOne":                  takesAThousandAlertsAsOne,
	} {
		t.Run(name, func(t *testing.T) { test(t, client) })
	}
}

func actsInEachPhase(t *testing.T, client *consul.Client) {
	t.Parallel()
	back := spec.Alert{Name: "page", Match: []string{"service={{service}}"}, Then: spec.ThenRollback}
	stop := spec.Alert{Name: "page", Match: []string{"service={{service}}"}, Then: spec.ThenHalt}
	cases := []struct {
		service string
		alert   spec.Alert
		phase   rollout.Phase
		want    alerts.Effect
	}{
		{"queued", stop, rollout.Queued, alerts.Halted},
		{"staging", back, rollout.Staging, alerts.Halted},
		{"rolling", stop, rollout.Rolling, alerts.Halted},
		{"canary", back, rollout.Canary, alerts.Halted},
		{"switching", back, rollout.Switching, alerts.RolledBack},
		{"draining", back, rollout.Draining, alerts.RolledBack},
		{"baking", back, rollout.Baking, alerts.RolledBack},
		{"baking-on", stop, rollout.Baking, alerts.Halted},
		{"baking-broken", back, rollout.Baking, alerts.Halted},
		{"converging", back, rollout.Converging, alerts.Halted},
		{"done", back, rollout.Done, alerts.NoRollout},
		{"failed", stop, rollout.Failed, alerts.NoRollout},
	}
	var services []spec.Service
	for _, c := range cases {
		services = append(services, service(c.service, c.alert))
	}
	w := newWorld(t, client, spec.Environment{Name: "phases"}, services...)
	h := w.run(t, nil, discard())
	for _, c := range cases {
		t.Run(c.service, func(t *testing.T) {
			w.rollOut(t, c.service, c.phase)
			if c.service == "baking-broken" {
				w.node(t, c.service, "b1", spec.Blue, "1.0.0", api.HealthCritical)
			}
			before := w.record(t, c.service)
			a := alert(c.service, time.Now())
			outcomes, err := h.Take(t.Context(), []alerts.Alert{a})
			if got, want := effects(t, outcomes, err), c.service+" "+string(c.want); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			w.checkActed(t, c.service, a, before, c.want)
			// Nothing comes of hearing it again, whatever state it has led to.
			after := w.record(t, c.service)
			if _, err := h.Take(t.Context(), []alerts.Alert{a, a}); err != nil {
				t.Fatal(err)
			}
			if again := w.record(t, c.service); again.Index != after.Index {
				t.Errorf("the alert that was told again has changed the record: %+v", again)
			}
		})
	}
}

// checkActed compares the records with what was told.
func (w world) checkActed(t *testing.T, service string, a alerts.Alert, before *rollout.Record, effect alerts.Effect) {
	t.Helper()
	s, err := w.Observe(t.Context(), service)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Record
	switch effect {
	case alerts.Halted:
		if r.Phase != rollout.Halted || r.Halt.Phase != before.Phase || r.Halt.By != "alert HighErrorRate" || !strings.Contains(r.Halt.Why, a.ID()) {
			t.Errorf("record %+v, halt %+v", r, r.Halt)
		}
		if len(s.Live.Weights) != 0 || s.Live.Pool == spec.Green == before.SwitchedAt.IsZero() {
			t.Errorf("users are on %+v", s.Live)
		}
	case alerts.RolledBack:
		if r.Phase != rollout.RolledBack || s.Live.Pool != spec.Blue || s.Live.By != "alert HighErrorRate" || !strings.Contains(r.Outcome, a.ID()) {
			t.Errorf("record %+v, live %+v", r, s.Live)
		}
	default:
		if r.Index != before.Index {
			t.Errorf("the record was changed to %+v", r)
		}
	}
	if service == "baking-broken" && !strings.Contains(r.Halt.Why, "not rolled back") {
		t.Errorf("it isn't said why it was not rolled back: %q", r.Halt.Why)
	}
}

func leavesAloneWhatSomebodyKnew(t *testing.T, client *consul.Client) {
	t.Parallel()
	w := newWorld(t, client, spec.Environment{Name: "known"}, service("web"))
	h := w.run(t, nil, discard())
	old := alert("web", time.Now())
	w.rollOut(t, "web", rollout.Canary)
	take := func(want alerts.Effect, list ...alerts.Alert) {
		t.Helper()
		outcomes, err := h.Take(t.Context(), list)
		if err != nil || len(outcomes) == 0 || outcomes[0].Effect != want {
			t.Fatalf("got %+v, %v, want %s", outcomes, err, want)
		}
	}
	take(alerts.Older, old)

	first := alert("web", time.Now())
	take(alerts.Halted, first)
	whileHalted := alert("web", time.Now())
	whileHalted.Labels["alertname"] = "HighLatency"
	take(alerts.Standing, whileHalted)
	w.do(t, "web", resume)
	take(alerts.Older, first, whileHalted)

	// A clock that is ahead doesn't make an alert a new one each time.
	ahead := alert("web", time.Now().Add(time.Hour))
	take(alerts.Halted, ahead)
	w.do(t, "web", resume)
	take(alerts.Older, ahead)

	again := alert("web", time.Now())
	take(alerts.Halted, again)
}

// With then = "rollback", a halt doesn't keep users on what an alert fires for.
func rollsBackWhatIsHaltedInItsBake(t *testing.T, client *consul.Client) {
	t.Parallel()
	w := newWorld(t, client, spec.Environment{Name: "bake"}, service("web", spec.Alert{Name: "page", Match: []string{"severity=page"}, Then: spec.ThenRollback}))
	h := w.run(t, nil, discard())
	w.rollOut(t, "web", rollout.Baking)
	w.do(t, "web", func(s rollout.Situation) (*rollout.Change, error) {
		return rollout.StopRollout(s, "somebody", "to look at it", time.Now())
	})
	outcomes, err := h.Take(t.Context(), []alerts.Alert{alert("web", time.Now())})
	if got := effects(t, outcomes, err); got != "web rolled_back" {
		t.Errorf("got %s", got)
	}
}

// The pools are asked again at the write: one that fails in between is not led
// back to.
func haltsWhenTheFormerPoolFailsAtTheLastMoment(t *testing.T, client *consul.Client) {
	t.Parallel()
	w := newWorld(t, client, spec.Environment{Name: "moment"}, service("moment", spec.Alert{Name: "page", Match: []string{"severity=page"}, Then: spec.ThenRollback}))
	w.rollOut(t, "moment", rollout.Baking)
	is := func(status string) func() {
		return func() { w.node(t, "moment", "b1", spec.Blue, "1.0.0", status) }
	}
	h := &alerts.Halter{Rollouts: fails{w, is(api.HealthPassing), is(api.HealthCritical)}, Log: discard()}
	if err := h.Know(spec.Environment{Name: "moment"}, service("moment")); err != nil {
		t.Fatal(err)
	}
	outcomes, err := h.Take(t.Context(), []alerts.Alert{alert("moment", time.Now())})
	if got := effects(t, outcomes, err); got != "moment halted" {
		t.Errorf("got %s", got)
	}
	if r := w.record(t, "moment"); r.Phase != rollout.Halted || r.Halt.Phase != rollout.Baking {
		t.Errorf("record %+v", r)
	}
}

func resumesOnlyWhatTheAlertAloneHasHalted(t *testing.T, client *consul.Client) {
	t.Parallel()
	asked := newServer(t, `[]`)
	env := spec.Environment{Name: "resume", Alerts: &spec.AlertSources{Alertmanager: []string{asked.URL}, Every: spec.Duration(time.Hour)}}
	declared := spec.Alert{Name: "page", Match: []string{"service={{service}}"}, Then: spec.ThenHalt, Resume: true}
	names := []string{"web", "touched", "other", "unasked", "burning"}
	var services []spec.Service
	for _, name := range names {
		services = append(services, service(name, declared))
	}
	services[3].Alerts[0].Resume = false
	w := newWorld(t, client, env, services...)
	h := w.run(t, nil, discard())
	halted := make(map[string]alerts.Alert)
	for _, name := range names {
		w.rollOut(t, name, rollout.Canary)
		halted[name] = alert(name, time.Now())
		outcomes, err := h.Take(t.Context(), []alerts.Alert{halted[name]})
		if got := effects(t, outcomes, err); got != name+" halted" {
			t.Fatalf("got %s", got)
		}
	}
	// Another alert, the same one of another time, and a hand on the record.
	another := alert("other", halted["other"].StartsAt.Add(-time.Minute))
	w.do(t, "touched", func(s rollout.Situation) (*rollout.Change, error) {
		r := *s.Record
		r.Timeline = append(r.Timeline, rollout.Event{At: time.Now(), Phase: r.Phase, What: "approval ops given by somebody"})
		return &rollout.Change{Record: &r, Saw: s.Live.Read(), What: "approve"}, nil
	})
	// Nobody who is asked knows of the alert that is told in the same breath.
	outcomes, err := h.Take(t.Context(), []alerts.Alert{resolved(halted["web"]), alert("web", time.Now())})
	if got := effects(t, outcomes, err); got != "web standing, web resolved" {
		t.Errorf("got %s", got)
	}
	asked.say(`[{"labels":{"alertname":"HighLatency","service":"burning"},"startsAt":"2026-01-02T03:04:05Z"}]`)
	for _, c := range []struct {
		alert alerts.Alert
		want  string
	}{
		{another, "other resolved"},
		{halted["touched"], "touched resolved"},
		{halted["unasked"], "unasked resolved"},
		{halted["burning"], "burning standing"},
		{halted["web"], "web resumed"},
		{halted["web"], "web resolved"}, // once more
	} {
		outcomes, err := h.Take(t.Context(), []alerts.Alert{resolved(c.alert)})
		if got := effects(t, outcomes, err); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	if r := w.record(t, "web"); r.Phase != rollout.Canary {
		t.Errorf("web is in %s", r.Phase)
	}
	// It could not be asked whether anything else fires: that is to be tried
	// again.
	asked.fail(503)
	outcomes, err = h.Take(t.Context(), []alerts.Alert{resolved(halted["burning"])})
	if got := effects(t, outcomes, err); got != "burning failed" {
		t.Errorf("got %s", got)
	}
	for _, name := range []string{"touched", "other", "unasked", "burning"} {
		if r := w.record(t, name); r.Phase != rollout.Halted {
			t.Errorf("%s is in %s", name, r.Phase)
		}
	}
}

func ignoresAFiringThatCameAfterItsEnd(t *testing.T, client *consul.Client) {
	t.Parallel()
	w := newWorld(t, client, spec.Environment{Name: "late"}, service("web"))
	h := w.run(t, nil, discard())
	w.rollOut(t, "web", rollout.Canary)
	late := alert("web", time.Now())
	for _, list := range [][]alerts.Alert{{resolved(late)}, {late}, {late, resolved(late)}} {
		outcomes, err := h.Take(t.Context(), list)
		if got := effects(t, outcomes, err); strings.Contains(got, "halted") || !strings.Contains(got, "resolved") {
			t.Errorf("got %s", got)
		}
	}
	// Whoever was asked just now knows better.
	late.Receiver = ""
	outcomes, err := h.Take(t.Context(), []alerts.Alert{late})
	if got := effects(t, outcomes, err); got != "web halted" {
		t.Errorf("got %s", got)
	}
}

func takesAThousandAlertsAsOne(t *testing.T, client *consul.Client) {
	t.Parallel()
	w := newWorld(t, client, spec.Environment{Name: "thousand"}, service("web"), service("shop"))
	h := w.run(t, nil, discard())
	w.rollOut(t, "web", rollout.Canary)
	now := time.Now()
	var many []alerts.Alert
	for i := range 1000 {
		a := alert([]string{"web", "shop", "nobody's"}[i%3], now)
		a.Labels["instance"] = a.Labels["service"] + "-" + "x"
		a.StartsAt = a.StartsAt.Add(time.Duration(i) * time.Millisecond)
		many = append(many, a)
	}
	outcomes, err := h.Take(t.Context(), many)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[alerts.Effect]int)
	for _, o := range outcomes {
		count[o.Effect]++
	}
	if outcomes[0].Effect != alerts.Halted || count[alerts.Halted] != 1 || count[alerts.Standing] != 333 || count[alerts.NoRollout] != 333 || count[alerts.NoService] != 333 {
		t.Errorf("got %v, first %+v", count, outcomes[0])
	}
	if r := w.record(t, "web"); len(r.Timeline) != 3 { // promoted, canary began, halted
		t.Errorf("timeline %+v", r.Timeline)
	}
}

func TestHalter_AsksToBeToldAgain(t *testing.T) {
	t.Parallel()
	h := &alerts.Halter{Log: discard()}
	if _, err := h.Take(t.Context(), nil); !errors.Is(err, alerts.ErrNotReady) {
		t.Errorf("before the desired state is known: %v", err)
	}
	h.Rollouts = away{}
	if err := h.Know(spec.Environment{Name: "prod"}, service("web")); err != nil {
		t.Fatal(err)
	}
	outcomes, err := h.Take(t.Context(), []alerts.Alert{alert("web", time.Now())})
	if got := effects(t, outcomes, err); got != "web failed" || !strings.Contains(outcomes[0].Why, "no leader") {
		t.Errorf("got %s, %+v", got, outcomes)
	}
}
