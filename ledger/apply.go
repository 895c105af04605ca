package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"switchd/artifact"
	"switchd/consul"
	"switchd/spec"
)

// Desired reads the desired state that Consul holds; its environment is nil in
// one to which nothing was applied yet.
func (l *Ledger) Desired(ctx context.Context) (*spec.Desired, error) {
	env, err := l.Environment(ctx)
	if errors.Is(err, ErrUnknownEnvironment) {
		return nil, nil //nolint:nilnil // nothing yet is an ordinary state
	}
	if err != nil {
		return nil, err
	}
	services, err := l.Services(ctx)
	if err != nil {
		return nil, err
	}
	return &spec.Desired{Environment: env, Services: services}, nil
}

// Apply writes what differs from the desired state, up to 63 entries in one
// transaction. Services that it doesn't name are removed. One apply at a time
// may run, so that the state is always somebody's and never a mixture: another
// one is an ErrConflict.
func (l *Ledger) Apply(ctx context.Context, by string, desired *spec.Desired) error {
	operator, err := l.Operate(ctx, by)
	if err != nil {
		return err
	}
	defer func() { _ = operator.Close(context.WithoutCancel(ctx)) }() // its TTL ends it otherwise
	if err := operator.hold(ctx, l.Keys.Operators()+"apply"); err != nil {
		return fmt.Errorf("apply the desired state: %w", err)
	}
	var file *spec.ZoneFile
	if zone := desired.Environment.Zone; zone != nil {
		file = zone.File
	}
	if err := l.keepZoneFile(ctx, file, desired.ZoneFile); err != nil {
		return err
	}
	ops, err := l.applyOps(ctx, desired)
	if err != nil {
		return err
	}
	// Consul takes a limited number of operations at once. More than that is
	// written in parts, each of them whole: one service never comes apart.
	for part := range slices.Chunk(ops, consul.MaxOps-2) {
		guard, err := operator.Guard()
		if err != nil {
			return err
		}
		if err := l.Consul.Txn(ctx, "apply the desired state", append([]consul.Op{guard}, part...)...); err != nil {
			return fmt.Errorf("%w; apply again: it writes what is still missing", err)
		}
	}
	// What DNS answers follows at once, however many parts there were; should
	// this process die here, the next replica to look does it.
	derive := func() error {
		_, err := l.DeriveNames(ctx)
		return err
	}
	if err := again(derive); err != nil {
		return fmt.Errorf("%w; the desired state is written, and the replicas will follow it", err)
	}
	return l.forgetZoneFiles(ctx, file)
}

// applyOps are the operations that lead from what Consul holds to the desired
// state, first what is removed, then the rest in the order of
// their keys.
func (l *Ledger) applyOps(ctx context.Context, desired *spec.Desired) ([]consul.Op, error) {
	want := map[string]any{l.Keys.Environment(): desired.Environment}
	for _, s := range desired.Services {
		want[l.Keys.Spec(s.Name)] = s
	}
	entries, err := l.Consul.List(ctx, l.Keys.Desired())
	if err != nil {
		return nil, err
	}
	have := make(map[string]consul.Entry, len(entries))
	for _, entry := range entries {
		have[entry.Key] = entry
	}
	// What is removed comes first, in pairs that no part of the whole splits.
	var ops []consul.Op
	for _, entry := range entries {
		if _, wanted := want[entry.Key]; wanted {
			continue
		}
		idle, err := l.idle(ctx, consul.Base(entry.Key))
		if err != nil {
			return nil, err
		}
		ops = append(ops, consul.DeleteCAS(entry.Key, entry.Index), idle)
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		text, err := json.Marshal(want[key])
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", key, err)
		}
		if entry := have[key]; string(text) != string(entry.Value) {
			ops = append(ops, consul.CAS(key, text, entry.Index))
		}
	}
	return ops, nil
}

// ErrUnderWay says that a service can't be removed during its rollout.
var ErrUnderWay = errors.New("a rollout is under way; wait for its end, or roll it back")

// idle holds a transaction to the service having no rollout under way.
func (l *Ledger) idle(ctx context.Context, service string) (consul.Op, error) {
	record, err := l.Record(ctx, service)
	if err != nil {
		return consul.Op{}, err
	}
	if record == nil {
		return consul.Unchanged(l.Keys.Rollout(service), 0), nil
	}
	if !record.Phase.Ended() {
		return consul.Op{}, fmt.Errorf("remove %s: %w", service, ErrUnderWay)
	}
	return consul.Unchanged(l.Keys.Rollout(service), record.Index), nil
}

// ErrPublished says that a version exists with other bytes; a release never
// changes.
var ErrPublished = errors.New("this version is published already, with other bytes")

// Publish writes a release's manifest. The same bytes published again change
// nothing.
func (l *Ledger) Publish(ctx context.Context, m artifact.Manifest) error {
	value, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	key := l.Keys.Release(m.Service, m.Version)
	err = l.Consul.Txn(ctx, "publish "+m.String(), consul.CAS(key, value, 0))
	if !errors.Is(err, consul.ErrConflict) {
		return err
	}
	former, err := l.Release(ctx, m.Service, m.Version)
	if err != nil {
		return err
	}
	if former.SHA256 != m.SHA256 {
		return fmt.Errorf("%s: %w (SHA-256 %.12s, now %.12s); publish it under another version", m, ErrPublished, former.SHA256, m.SHA256)
	}
	return nil
}
