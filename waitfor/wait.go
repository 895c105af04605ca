// Package waitfor waits until something outside of a rollout holds: a key in
// Consul's KV has a value, a service in Consul has enough passing instances, a URL
// answers as it should, or a command exits with status 0.
package waitfor

import (
	"context"

	"switchd/consul"
	"switchd/gate"
	"switchd/spec"
)

// Wait is one thing that is waited for, with all that a look at it needs.
type Wait struct {
	// For says what; its texts may have variables. Exactly one of Key, Service, URL
	// and Command is set.
	For spec.WaitFor
	// Vars are what the variables mean.
	Vars spec.Vars
	// Env and Rollout are told to a command.
	Env     string
	Rollout string

	// Consul is where keys and services are watched. Its token must have the right
	// to read them.
	Consul *consul.Client
	// Commands is the directory that programs may be run from; empty: none may.
	Commands string
}

// Watch reports what holds, first as soon as that is known and then each time that
// the outcome or its reason changes, until ctx ends. Keys and services are
// watched by blocking queries; URLs and commands are tried again each For.Every,
// also after they have passed.
//
// A verdict is a Pass, or unknown with what is missing. What can't be asked is
// unknown too: nothing that is waited for ever fails.
func (w Wait) Watch(ctx context.Context, report func(gate.Verdict)) {
	report = gate.WhenChanged(report)
	switch {
	case w.For.Key != "":
		w.watchKey(ctx, report)
	case w.For.Service != "":
		w.watchService(ctx, report)
	case w.For.URL != "":
		w.watchURL(ctx, report)
	case len(w.For.Command) > 0:
		w.watchCommand(ctx, report)
	default:
		report(gate.Undecided("wait %q says neither key, service, url nor command", w.For.Name))
		<-ctx.Done()
	}
}
