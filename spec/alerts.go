package spec

import (
	"slices"
	"time"

	"github.com/prometheus/alertmanager/matcher/parse"
)

// Alert says which firing alerts act on the service's rollout, and how.
type Alert struct {
	Name string `json:"name"`
	// Match are matchers as Alertmanager writes them, such as `severity=page`
	// or `team=~"web|edge"`; an alert must meet all of them. ${service},
	// ${pool}, ${other_pool} and ${version} are those of the rollout.
	Match []string `json:"match"`
	// Then is what happens once users are on the new version: ThenHalt or
	// ThenRollback. Before that, the rollout is halted.
	Then string `json:"then"`
	// Resume has a rollout that the alert has halted go on when the alert is
	// resolved.
	Resume bool `json:"resume_when_resolved,omitempty"`
}

func (a *Alert) form() form {
	return form{attrs: []attr{
		texts("match", &a.Match, matcherRule(), true).must(),
		text("then", &a.Then, oneOf(ThenHalt, ThenRollback)),
		flag("resume_when_resolved", &a.Resume),
	}}
}

// AlertsInForce are the service's alerts or, if it declares none, those that
// name it: with its name as their label "service", with no label "environment"
// or that of the environment, and with no label "severity" or one that wakes
// somebody.
func (s *Service) AlertsInForce(env string) []Alert {
	if len(s.Alerts) > 0 {
		return s.Alerts
	}
	return []Alert{{
		Name:  "default",
		Match: []string{"service=" + s.Name, `environment=~"|` + env + `"`, `severity=~"|critical|page"`},
		Then:  ThenHalt,
	}}
}

// AlertSources is where firing alerts are asked for, since a webhook may get
// lost.
type AlertSources struct {
	Alertmanager []string `json:"alertmanager,omitempty"` // base URLs
	// Prometheus are base URLs of servers whose alerts are asked for directly:
	// they know no silences.
	Prometheus []string `json:"prometheus,omitempty"`
	Every      Duration `json:"every"`
}

func (a *AlertSources) form() form {
	return form{
		attrs: []attr{
			texts("alertmanager", &a.Alertmanager, urlRule(), true),
			texts("prometheus", &a.Prometheus, urlRule(), true),
			span("every", &a.Every, time.Second),
		},
		check: func(at scope) {
			if len(a.Alertmanager)+len(a.Prometheus) == 0 {
				at.wrong("", "Nobody to ask for alerts", "The block alerts says neither where Alertmanager is nor where Prometheus is. Add alertmanager = [\"http://127.0.0.1:9093\"] or prometheus = [\"http://127.0.0.1:9090\"], or remove the block.")
			}
		},
	}
}

// matcherRule takes what Alertmanager's own parser does, with the variables
// that are known of a rollout.
func matcherRule() rule {
	parses := func(s string) error {
		_, err := parse.Matcher(sample(s))
		return err
	}
	r := ofRollout(lineRule().and(func(s string) bool { return parses(s) == nil }))
	r.want = "a matcher as Alertmanager writes it, such as \"severity=page\", which" + mayUse
	r.more = func(s string) string {
		if err := parses(s); err != nil {
			return " Alertmanager's parser says: " + err.Error()
		}
		return ""
	}
	return r
}

// settleAlerts holds a rollout that is to go on by itself to somebody who can
// tell that nothing else fires.
func (s *Service) settleAlerts(e Environment, at scope) {
	if i := slices.IndexFunc(s.Alerts, func(a Alert) bool { return a.Resume }); i >= 0 && e.Alerts == nil {
		at.wrong("alert."+s.Alerts[i].Name+".resume_when_resolved", "Nobody to ask for alerts",
			"A rollout goes on by itself only if no other alert of its service fires, and environment %q has no alerts block that says whom to ask. Add one, such as: alerts { alertmanager = [\"http://127.0.0.1:9093\"] }", e.Name)
	}
}
