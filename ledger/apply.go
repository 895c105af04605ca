package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// Apply writes the desired state in one transaction. Services that it doesn't
// name are removed.
func (l *Ledger) Apply(ctx context.Context, by string, desired *spec.Desired) error {
	operator, err := l.Operate(ctx, by)
	if err != nil {
		return err
	}
	defer func() { _ = operator.Close(context.WithoutCancel(ctx)) }() // its TTL ends it otherwise

	want := map[string]any{l.Keys.Environment(): desired.Environment}
	for _, s := range desired.Services {
		want[l.Keys.Spec(s.Name)] = s
	}
	have, err := l.Consul.List(ctx, l.Keys.Prefix()+"spec/")
	if err != nil {
		return err
	}
	var ops []consul.Op
	for _, entry := range have {
		value, wanted := want[entry.Key]
		if !wanted {
			ops = append(ops, consul.DeleteCAS(entry.Key, entry.Index))
			continue
		}
		delete(want, entry.Key)
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("write %s: %w", entry.Key, err)
		}
		if string(text) != string(entry.Value) {
			ops = append(ops, consul.CAS(entry.Key, text, entry.Index))
		}
	}
	for key, value := range want {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
		ops = append(ops, consul.CAS(key, text, 0))
	}
	// Consul takes a limited number of operations at once. More than that is
	// written in parts, each of them whole: one service never comes apart.
	for part := range slices.Chunk(ops, consul.MaxOps-1) {
		guard, err := operator.Guard()
		if err != nil {
			return err
		}
		if err := l.Consul.Txn(ctx, "apply the desired state", append([]consul.Op{guard}, part...)...); err != nil {
			return err
		}
	}
	return nil
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
