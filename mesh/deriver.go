package mesh

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sync/errgroup"

	"switchd/consul"
	"switchd/pools"
	"switchd/spec"
)

// Source tells what is wanted of a service, by consistent reads.
type Source interface {
	Service(ctx context.Context, name string) (spec.Service, error)
	// Live is nil while nothing is live.
	Live(ctx context.Context, service string) (*pools.Live, error)
}

// Store holds config entries, and what they are compiled to. *consul.Client is
// one.
type Store interface {
	ConfigEntry(ctx context.Context, kind, name string) (api.ConfigEntry, error)
	WriteConfigEntry(ctx context.Context, entry api.ConfigEntry, index uint64) error
	DeleteConfigEntry(ctx context.Context, kind, name string, index uint64) error
	Chain(ctx context.Context, service string) (*api.CompiledDiscoveryChain, error)
}

var _ Store = (*consul.Client)(nil)

// Deriver makes config entries what live records say. Any number of them may do
// so at the same time.
type Deriver struct {
	Env    string
	Source Source
	Store  Store
	// Fence refuses once this process may write no more; nil: it always may.
	Fence func() error
}

// Derived is what came of a derivation.
type Derived struct {
	// Name is that of the service in the mesh; empty: it isn't led there, or
	// nothing of it is live yet.
	Name string
	// Entries are what is wanted.
	Entries Entries
	Steps   []Step // that were written, in their order
}

const (
	// tries bounds how often a derivation looks again, after it has written
	// something or others were faster.
	tries = 20
	// patience is how many of them follow each other at once; after that, each
	// waits a step longer, so that two who disagree leave Consul to others.
	patience = 4
	longer   = 20 * time.Millisecond
)

// Derive makes the entries of a service what its live record says, and looks
// whether they are. Config entries can't be written in a transaction with the
// record, and a write that changes nothing moves no index. So the order of
// reads is the fence: what is wanted is read after the entries, and each entry
// is written by CAS at the index it was read at. Whoever writes what an older
// record said would have read the entry before a newer writer has changed it,
// and the CAS fails. A splitter that is not there has no index that would move;
// therefore what was written is looked at again, against the record as it is
// then.
func (d *Deriver) Derive(ctx context.Context, service string) (Derived, error) {
	var done Derived
	var right Entries // that the last try left right
	wanted, err := d.Source.Service(ctx, service)
	for try := 1; ; try++ {
		if err != nil || wanted.Mesh == nil {
			return Derived{}, err
		}
		name := wanted.Mesh.Service
		done.Name = name
		held, err := d.held(ctx, name)
		if err != nil {
			return done, err
		}
		var live *pools.Live
		if wanted, live, err = d.wanted(ctx, service); err != nil || wanted.Mesh == nil || live == nil {
			return Derived{}, err
		}
		if wanted.Mesh.Service != name {
			continue // these were the entries of another one
		}
		done.Entries = Derive(d.Env, live, wanted)
		steps, wrong := done.Entries.Steps(held)
		if len(steps) == 0 {
			return done, wrong
		}
		for i := range steps {
			steps[i].Undoes = reflect.DeepEqual(right, done.Entries)
		}
		written, err := d.write(ctx, steps)
		done.Steps = append(done.Steps, steps[:written]...)
		switch {
		case err == nil && wrong == nil:
			right = done.Entries
		case err == nil, errors.Is(err, consul.ErrConflict):
			right = Entries{} // which of them are right isn't known
		default:
			return done, err
		}
		if try == tries {
			return done, fmt.Errorf("the config entries of %s were changed by others %d times in a row; look for who else writes them", name, tries)
		}
		if err := pause(ctx, time.Duration(max(try-patience, 0))*longer); err != nil {
			return done, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// write tells how many of the steps were written.
func (d *Deriver) write(ctx context.Context, steps []Step) (int, error) {
	for i, step := range steps {
		if d.Fence != nil {
			if err := d.Fence(); err != nil {
				return i, err
			}
		}
		var err error
		if step.Write == nil {
			err = d.Store.DeleteConfigEntry(ctx, step.Kind, step.Name, step.Index)
		} else {
			err = d.Store.WriteConfigEntry(ctx, step.Write, step.Index)
		}
		if err != nil {
			return i, err
		}
	}
	return len(steps), nil
}

func (d *Deriver) wanted(ctx context.Context, service string) (s spec.Service, live *pools.Live, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		s, err = d.Source.Service(ctx, service)
		return err
	})
	group.Go(func() (err error) {
		live, err = d.Source.Live(ctx, service)
		return err
	})
	return s, live, group.Wait()
}

// held reads the entries of a service.
func (d *Deriver) held(ctx context.Context, name string) (Held, error) {
	var held Held
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return read(ctx, d.Store, api.ServiceResolver, name, &held.Resolver) })
	group.Go(func() error { return read(ctx, d.Store, api.ServiceSplitter, name, &held.Splitter) })
	group.Go(func() error { return read(ctx, d.Store, api.ServiceDefaults, name, &held.Defaults) })
	group.Go(func() error {
		// Entries that can't be compiled must not keep them from being made right.
		chain, err := d.Store.Chain(ctx, name)
		if held.Unknown = err; err == nil {
			held.Protocol = chain.Protocol
		}
		return nil
	})
	return held, group.Wait()
}

// read leaves an entry as it is that is not there.
func read[T any, P interface {
	*T
	api.ConfigEntry
}](ctx context.Context, store Store, kind, name string, into *T) error {
	entry, err := store.ConfigEntry(ctx, kind, name)
	if found, ok := entry.(P); ok && err == nil {
		*into = *found
	}
	return err
}
