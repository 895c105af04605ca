package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/consul"
	"switchd/ledger"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
	"switchd/train"
)

// Reader is where a status is read from. Ledger is the real one.
type Reader interface {
	// Env names the environment.
	Env() string
	Services(ctx context.Context) ([]spec.Service, error)
	Observe(ctx context.Context, service string) (rollout.Situation, error)
	Replicas(ctx context.Context) ([]replica.Replica, error)
	// Trains are all that are kept, the oldest first. Those that can't be read
	// are left out, and told by the error.
	Trains(ctx context.Context) ([]*train.Train, error)
}

// Ledger reads a status from what Consul holds.
type Ledger struct{ *ledger.Ledger }

var _ Reader = Ledger{}

// Env names the ledger's environment.
func (l Ledger) Env() string { return l.Keys.Env }

// Replicas lists the environment's processes of `switchd serve`.
func (l Ledger) Replicas(ctx context.Context) ([]replica.Replica, error) {
	return replica.List(ctx, l.Consul, l.Keys.Env)
}

// parallel bounds how many services are read at a time.
const parallel = 8

// Read reads the status of the named services, of all without a name. A name
// that the environment does not have is a ledger.ErrUnknownService. A service
// whose records are broken says so in its Error; when Consul can't be reached
// there is no document.
func Read(ctx context.Context, r Reader, names ...string) (Document, error) {
	doc := Document{Environment: r.Env(), At: time.Now().UTC(), Services: []Service{}, Replicas: []Replica{}}
	named := names // none: all
	if len(named) == 0 {
		services, err := r.Services(ctx)
		if err != nil {
			return Document{}, fmt.Errorf("read the services: %w", err)
		}
		for _, s := range services {
			names = append(names, s.Name)
		}
	}
	found := make([]*Service, len(names))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	group.Go(func() error {
		replicas, err := r.Replicas(groupCtx)
		if err != nil {
			return fmt.Errorf("list the replicas: %w", err)
		}
		for _, p := range replicas {
			doc.Replicas = append(doc.Replicas, Replica{Name: p.Name, HTTP: p.HTTP, DNS: p.DNS, Passing: p.Passing})
		}
		return nil
	})
	group.Go(func() error { return doc.queue(groupCtx, r, named) })
	for i, name := range names {
		group.Go(func() error {
			s, err := r.Observe(groupCtx, name)
			switch {
			case err == nil:
				service := Of(s)
				found[i] = &service
			case len(named) == 0 && errors.Is(err, ledger.ErrUnknownService):
				// It was taken away since it was listed.
			case fatal(groupCtx, err), len(named) > 0 && errors.Is(err, consul.ErrDenied):
				return fmt.Errorf("read the state of %s: %w", name, err)
			default:
				found[i] = &Service{Name: name, Error: err.Error()}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Document{}, err
	}
	for _, s := range found {
		if s != nil {
			doc.Services = append(doc.Services, *s)
		}
	}
	return doc, nil
}

// fatal tells an error that every other service would have too.
func fatal(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, consul.ErrUnreachable) || errors.Is(err, ledger.ErrUnknownService)
}
