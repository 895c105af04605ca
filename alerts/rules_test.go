package alerts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"switchd/alerts"
	"switchd/rollout"
	"switchd/spec"
)

func TestRules_WithoutAnAlertBlockNameTheService(t *testing.T) {
	t.Parallel()
	rules, err := alerts.NewRules("prod", []spec.Service{service("web"), service("shop")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		labels model.LabelSet
		want   string
	}{
		{model.LabelSet{"service": "web"}, "web"},
		{model.LabelSet{"service": "shop", "environment": "prod", "severity": "critical"}, "shop"},
		{model.LabelSet{"service": "web", "severity": "page"}, "web"},
		{model.LabelSet{"service": "web", "severity": "warning"}, ""},
		{model.LabelSet{"service": "web", "environment": "staging"}, ""},
		{model.LabelSet{"service": "nobody's"}, ""},
		{model.LabelSet{"alertname": "Watchdog"}, ""},
	} {
		if got := strings.Join(rules.Concerned(alerts.Alert{Labels: c.labels}), ","); got != c.want {
			t.Errorf("%s: got %q, want %q", c.labels, got, c.want)
		}
	}
}

func TestRules_KeepTheOthersWhenOneIsBroken(t *testing.T) {
	t.Parallel()
	rules, err := alerts.NewRules("prod", []spec.Service{
		service("web", spec.Alert{Name: "bad", Match: []string{"service=web", "team=~("}}, spec.Alert{Name: "good", Match: []string{`team=~"web|edge"`}}),
		service("shop"),
	})
	if err == nil || !strings.Contains(err.Error(), `alert "bad" of service "web"`) {
		t.Errorf("got %v", err)
	}
	for labels, want := range map[string]string{"edge": "web", "nobody": ""} {
		if got := strings.Join(rules.Concerned(alerts.Alert{Labels: model.LabelSet{"team": model.LabelValue(labels)}}), ","); got != want {
			t.Errorf("%s: got %q, want %q", labels, got, want)
		}
	}
}

// An alert about the pool or the version that users were on is no reason to
// stop the one that takes its place, if the service says so.
func TestRules_MayBeAboutTheNewPoolOnly(t *testing.T) {
	t.Parallel()
	declared := service("web", spec.Alert{Name: "new", Match: []string{"service={{service}}", "pool={{pool}}", `version=~"|{{version}}"`}, Then: spec.ThenHalt})
	for _, c := range []struct {
		pool, version string
		want          alerts.Effect
	}{
		{spec.Blue, "", alerts.NoService},
		{spec.Green, "1.0.0", alerts.NoService},
		{spec.Green, "2.0.0", alerts.Halted},
		{spec.Green, "", alerts.Halted},
	} {
		b := newBook(declared)
		h := &alerts.Halter{Rollouts: b, Log: discard()}
		if err := h.Know(spec.Environment{Name: "prod"}, declared); err != nil {
			t.Fatal(err)
		}
		for _, operation := range []func(rollout.Situation) (*rollout.Change, error){promote, to(rollout.Canary)} {
			if _, err := b.Do(t.Context(), "web", "test", operation); err != nil {
				t.Fatal(err)
			}
		}
		a := alert("web", time.Now())
		a.Labels["pool"], a.Labels["version"] = model.LabelValue(c.pool), model.LabelValue(c.version)
		outcomes, err := h.Take(t.Context(), []alerts.Alert{a})
		if got, want := effects(t, outcomes, err), "web "+string(c.want); got != want {
			t.Errorf("pool %q, version %q: got %s, want %s", c.pool, c.version, got, want)
		}
	}
}
