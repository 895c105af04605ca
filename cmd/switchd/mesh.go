package main

import (
	"context"
	"fmt"
	"time"

	"switchd/ledger"
	"switchd/mesh"
)

// meshTimeout bounds how long a command tries to have the mesh follow.
const meshTimeout = 10 * time.Second

// followMesh has the mesh follow the live record that a command has written, so
// that no controller has to run for it. One that runs does the same.
func (a *app) followMesh(l *ledger.Ledger, service string) error {
	ctx, cancel := context.WithTimeout(a.ctx, meshTimeout)
	defer cancel()
	done, err := deriveMesh(ctx, l, service)
	switch {
	case err != nil:
		return fmt.Errorf("%s: the live record is written, but clients in Consul's mesh do not follow it yet: %w; a running `switchd serve` goes on trying", service, err)
	case done.Name != "":
		a.printf("%s: clients of %s in Consul's mesh follow\n", service, done.Name)
	}
	return nil
}

func deriveMesh(ctx context.Context, l *ledger.Ledger, service string) (mesh.Derived, error) {
	return (&mesh.Deriver{Env: l.Keys.Env, Source: l, Store: l.Consul}).Derive(ctx, service)
}
