package waitfor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/gate"
)

// Bounds of the instances that are named: by evidence, and in a reason.
const (
	maxNamed = 10
	maxSaid  = 3
)

// watchService watches the health of a service.
func (w Wait) watchService(ctx context.Context, report func(gate.Verdict)) {
	name, want := w.Vars.Expand(w.For.Service), max(w.For.Passing, 1)
	w.Consul.WatchService(ctx, name, func(seen consul.Seen[[]*api.ServiceEntry]) {
		if seen.Err != nil {
			report(gate.Undecided("the health of service %s is not known: %v", name, seen.Err))
			return
		}
		report(serviceVerdict(name, want, seen.Value))
	})
}

// serviceVerdict counts the instances whose checks all pass, those of their nodes
// too.
func serviceVerdict(name string, want int, entries []*api.ServiceEntry) gate.Verdict {
	var ill []string
	for _, e := range entries {
		if status := e.Checks.AggregatedStatus(); status != api.HealthPassing {
			ill = append(ill, fmt.Sprintf("%s on %s is %s", e.Service.ID, e.Node.Node, status))
		}
	}
	slices.Sort(ill)
	passing := len(entries) - len(ill)
	var v gate.Verdict
	switch {
	case len(entries) == 0:
		// Consul shows neither to a token without the right.
		v = gate.Undecided("service %s has no instance in Consul that the replica's token may see; %d must pass", name, want)
	case passing < want:
		v = gate.Undecided("%d of %d instances of %s pass; %d must", passing, len(entries), name, want)
		if len(ill) > 0 {
			v.Why += ": " + strings.Join(ill[:min(len(ill), maxSaid)], ", ")
		}
	default:
		v = gate.Passed("%d of %d instances of %s pass; %d must", passing, len(entries), name, want)
	}
	v.Evidence = ill[:min(len(ill), maxNamed)]
	return v
}
