package driver

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/gate"
	"switchd/ledger"
	"switchd/mesh"
	"switchd/rollout"
	"switchd/spec"
)

// KeepMesh has Consul's config entries of each service that is switched in the
// mesh say what the live record says, until ctx ends: at once when a record
// changes, and when somebody edits the entries.
func (w *World) KeepMesh(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	var names meshNames
	changed := w.watchServices(ctx, &watching, w.Keys.Specs(), w.Keys.Lives())
	for _, kind := range mesh.Kinds() {
		watching.Go(func() { w.watchEntries(ctx, kind, &names, changed) })
	}
	keepEach(ctx, changed, 0, func(service string) keeper {
		return &meshKeeper{World: w, service: service, names: &names}
	})
}

// watchEntries sends the name of a service each time that its config entry of a
// kind changes.
func (w *World) watchEntries(ctx context.Context, kind string, names *meshNames, changed chan<- string) {
	known := make(map[string]uint64) // index by name
	w.Consul.WatchConfigEntries(ctx, kind, func(seen consul.Seen[[]api.ConfigEntry]) {
		if seen.Err != nil {
			w.Log.WarnContext(ctx, "config entries can't be watched; edits of them are not put back", "kind", kind, "error", seen.Err)
			return
		}
		var entries []consul.Entry
		for _, e := range seen.Value {
			entries = append(entries, consul.Entry{Key: e.GetName(), Index: e.GetModifyIndex()})
		}
		for _, e := range consul.Differ(known, entries) {
			if service, kept := names.service(e.Key); kept {
				send(ctx, changed, service)
			}
		}
	})
}

// meshNames are the services by their names in the mesh.
type meshNames struct {
	mu       sync.Mutex
	services map[string]string
}

func (n *meshNames) note(name, service string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.services == nil {
		n.services = make(map[string]string)
	}
	n.services[name] = service
}

func (n *meshNames) service(name string) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	service, ok := n.services[name]
	return service, ok
}

// meshKeeper keeps one service's config entries.
type meshKeeper struct {
	*World

	service string
	names   *meshNames
	made    mesh.Entries // as they were when they last were right
	failed  string       // the last trouble, which is told once
}

var _ mesh.Source = (*meshKeeper)(nil)

// Service takes note of the name before its entries are read, so that no edit
// is missed in between.
func (k *meshKeeper) Service(ctx context.Context, name string) (spec.Service, error) {
	s, err := k.Ledger.Service(ctx, name)
	if err == nil && s.Mesh != nil {
		k.names.note(s.Mesh.Service, name)
	}
	return s, err
}

// look makes the entries right, and tells whether there are any to be kept.
func (k *meshKeeper) look(ctx context.Context) (mine bool, err error) {
	deriver := mesh.Deriver{Env: k.Keys.Env, Source: k, Store: k.Consul, Fence: func() error {
		_, err := k.Fence.Guard()
		return err
	}}
	done, err := deriver.Derive(ctx, k.service)
	switch {
	case errors.Is(err, ledger.ErrUnknownService), err == nil && done.Name == "":
		k.forget()
		return false, nil
	case done.Name == "":
		// Consul is away, and what is live is not known.
		k.Log.DebugContext(ctx, "config entries not looked at", "service", k.service, "error", err)
		return true, err
	}
	k.tell(ctx, done, err)
	return true, err
}

// tell says what came of a look: in the log each trouble once.
func (k *meshKeeper) tell(ctx context.Context, done mesh.Derived, err error) {
	if errors.Is(err, context.Canceled) {
		return // it is to end
	}
	asBefore := reflect.DeepEqual(k.made, done.Entries)
	undoes := func(s mesh.Step) bool { return asBefore || s.Undoes }
	edited := slices.ContainsFunc(done.Steps, undoes)
	k.meshTroubles.note(k.service, err)
	k.Metrics.meshed(k.service, meshOutcome(done, edited, err), err != nil)
	if edited {
		k.Metrics.righted("mesh", k.service)
	}
	log := k.Log.With("service", k.service, "mesh", done.Name)
	for _, step := range done.Steps {
		if undoes(step) {
			log.WarnContext(ctx, "a config entry was not what the live record says; put right", "kind", step.Kind, "was", step.Was, "is", step.Is)
		} else {
			log.InfoContext(ctx, "config entry written", "kind", step.Kind, "was", step.Was, "is", step.Is)
		}
	}
	if err != nil {
		if k.failed != err.Error() {
			log.ErrorContext(ctx, "the mesh does not follow the live record", "error", err)
		}
		k.failed = err.Error()
		return
	}
	if k.failed != "" {
		log.InfoContext(ctx, "the mesh follows the live record again")
	}
	k.made, k.failed = done.Entries, ""
}

// forget says nothing more of the service: another replica may keep its
// entries.
func (k *meshKeeper) forget() {
	k.meshTroubles.note(k.service, nil)
	k.Metrics.forgetMesh(k.service)
	k.made, k.failed = mesh.Entries{}, ""
}

func meshOutcome(done mesh.Derived, edited bool, err error) string {
	_, foreign := errors.AsType[*mesh.ForeignError](err)
	switch {
	case foreign:
		return "foreign"
	case err != nil:
		return "failed"
	case edited:
		return "righted"
	case len(done.Steps) > 0:
		return "changed"
	default:
		return "unchanged"
	}
}

// meshProof waits until what Consul has compiled the config entries to leads to
// the new pool.
func (w *World) meshProof(ctx context.Context, s rollout.Situation) gate.Verdict {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	name := s.Spec.Mesh.Service
	verdict := gate.Undecided("the discovery chain of %s can't be read in time", name)
	w.Consul.WatchChain(ctx, name, func(seen consul.Seen[*api.CompiledDiscoveryChain]) {
		if seen.Err != nil {
			verdict = gate.Undecided("the discovery chain of %s can't be read: %v", name, seen.Err)
			return
		}
		leads, words := mesh.Leads(seen.Value, s.Record.Pool)
		if !leads {
			verdict = gate.Undecided("the discovery chain of %s still leads to %s", name, words)
			return
		}
		took := time.Since(s.Record.SwitchedAt).Round(time.Millisecond)
		verdict = gate.Passed("the discovery chain of %s leads to %s, seen %s after the write", name, s.Record.Pool, took)
		verdict.Evidence = []string{fmt.Sprintf("discovery chain of %s leads to %s", name, words)}
		cancel()
	})
	if err := w.meshTroubles.of(s.Spec.Name); err != nil && verdict.Outcome != gate.Pass {
		verdict.Why += fmt.Sprintf("; the mesh does not follow the live record: %v", err)
	}
	return verdict
}
