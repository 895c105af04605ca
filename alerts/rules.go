package alerts

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"

	"switchd/rollout"
	"switchd/spec"
)

// Rules are the alert blocks of all services of an environment.
type Rules struct {
	env      string
	names    []string // of the services, in their order
	services map[string]service
}

// service is one with its alert blocks: of each, those matchers that don't
// depend on a rollout.
type service struct {
	spec.Service

	fixed []labels.Matchers
}

// NewRules compiles the alert blocks. The error tells of those that could not
// be; the others hold.
func NewRules(env string, services []spec.Service) (*Rules, error) {
	r := &Rules{env: env, services: make(map[string]service, len(services))}
	var wrong []error
	for _, declared := range services {
		s := service{Service: declared}
		for _, declared := range s.AlertsInForce(env) {
			var fixed []string
			for _, text := range declared.Match {
				if text = (spec.Vars{Service: s.Name, Pool: "{{", Other: "{{", Version: "{{"}).Expand(text); !strings.Contains(text, "{{") {
					fixed = append(fixed, text)
				}
			}
			matchers, err := compile(fixed, spec.Vars{})
			if err != nil {
				wrong = append(wrong, fmt.Errorf("alert %q of service %q: %w", declared.Name, s.Name, err))
				continue
			}
			s.fixed = append(s.fixed, matchers)
		}
		r.names, r.services[s.Name] = append(r.names, s.Name), s
	}
	return r, errors.Join(wrong...)
}

// Concerned are the services whose rollouts an alert may act on. Whether it
// does is up to each rollout.
func (r *Rules) Concerned(a Alert) []string {
	var names []string
	for _, name := range r.names {
		if r.services[name].mayMeet(a) {
			names = append(names, name)
		}
	}
	return names
}

// mayMeet tells whether an alert meets one of the blocks, as far as that can be
// told without a rollout.
func (s service) mayMeet(a Alert) bool {
	return slices.ContainsFunc(s.fixed, func(m labels.Matchers) bool { return m.Matches(a.Labels) })
}

func compile(texts []string, v spec.Vars) (labels.Matchers, error) {
	matchers := make(labels.Matchers, 0, len(texts))
	for _, text := range texts {
		m, err := parse.Matcher(v.Expand(text))
		if err != nil {
			return nil, fmt.Errorf("matcher %q: %w", text, err)
		}
		matchers = append(matchers, m)
	}
	return matchers, nil
}

// met is an alert block with all its matchers, for one rollout.
type met struct {
	spec.Alert

	matchers labels.Matchers
}

// inForce are the service's alert blocks for a rollout. What doesn't compile
// was told when the rules were read.
func inForce(s spec.Service, env string, r *rollout.Record) []met {
	v := spec.Vars{Service: s.Name, Pool: r.Pool, Other: spec.Other(r.Pool), Version: r.Version}
	var blocks []met
	for _, declared := range s.AlertsInForce(env) {
		if matchers, err := compile(declared.Match, v); err == nil {
			blocks = append(blocks, met{declared, matchers})
		}
	}
	return blocks
}

// metBy are those of the blocks that an alert meets.
func metBy(blocks []met, a Alert) []met {
	var found []met
	for _, b := range blocks {
		if b.matchers.Matches(a.Labels) {
			found = append(found, b)
		}
	}
	return found
}
