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
	services map[string]spec.Service
	blocks   []block
}

// block is one alert block, with those of its matchers that don't depend on a
// rollout.
type block struct {
	service string
	fixed   labels.Matchers
}

// NewRules compiles the alert blocks. The error tells of those that could not
// be; the others hold.
func NewRules(env string, services []spec.Service) (*Rules, error) {
	r := &Rules{env: env, services: make(map[string]spec.Service, len(services))}
	var wrong []error
	for _, s := range services {
		r.services[s.Name] = s
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
			r.blocks = append(r.blocks, block{s.Name, matchers})
		}
	}
	return r, errors.Join(wrong...)
}

// Concerned are the services whose rollouts an alert may act on. Whether it
// does is up to each rollout.
func (r *Rules) Concerned(a Alert) []string {
	var names []string
	for _, b := range r.blocks {
		if !slices.Contains(names, b.service) && b.fixed.Matches(a.Labels) {
			names = append(names, b.service)
		}
	}
	return names
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
