package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"switchd/consul"
	"switchd/spec"
)

// Run follows the desired state and asks for alerts until ctx ends.
func (h *Halter) Run(ctx context.Context, client *consul.Client, keys consul.Keys) {
	var work sync.WaitGroup
	work.Go(func() { h.poll(ctx) })
	// The environment stands beside the services: one watch sees both.
	client.WatchPrefix(ctx, keys.Desired(), func(seen consul.Seen[[]consul.Entry]) {
		if seen.Err == nil {
			h.Metrics.seen(seen.At)
		}
		switch {
		case seen.Err != nil:
			h.Log.WarnContext(ctx, "alerts act as the desired state was before", "error", seen.Err)
		case seen.Changed:
			h.read(ctx, keys, seen.Value)
		}
	})
	work.Wait()
}

// read takes over the desired state. What of it can't be read is left out, and
// told.
func (h *Halter) read(ctx context.Context, keys consul.Keys, entries []consul.Entry) {
	env := spec.Environment{Name: keys.Env}
	var services []spec.Service
	for _, e := range entries {
		var err error
		switch {
		case e.Key == keys.Environment():
			err = json.Unmarshal(e.Value, &env)
		case strings.HasPrefix(e.Key, keys.Specs()):
			var s spec.Service
			if err = json.Unmarshal(e.Value, &s); err == nil {
				services = append(services, s)
			}
		}
		if err != nil {
			h.Log.ErrorContext(ctx, "desired state can't be read", "error", fmt.Errorf("parse %s in Consul: %w", e.Key, err))
		}
	}
	rules, err := NewRules(keys.Env, services)
	if err != nil {
		h.Log.ErrorContext(ctx, "alerts that can't be matched", "error", err)
	}
	h.inputs.Store(newInputs(env, rules))
}

func newInputs(env spec.Environment, rules *Rules) *inputs {
	in := &inputs{rules: rules}
	if a := env.Alerts; a != nil {
		in.every, in.sources = a.Every.Std(), sourcesOf(*a)
	}
	return in
}

func sourcesOf(declared spec.AlertSources) []source {
	var all []source
	for _, base := range declared.Alertmanager {
		all = append(all, source{Alertmanager, base})
	}
	for _, base := range declared.Prometheus {
		all = append(all, source{Prometheus, base})
	}
	return all
}
