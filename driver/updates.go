package driver

import (
	"context"
	"errors"
	"sync"
	"time"

	"switchd/dnsupdate"
	"switchd/ledger"
	"switchd/spec"
)

const (
	// updateEvery is how often a name in somebody else's zone is looked at
	// though nothing has changed here.
	updateEvery = 30 * time.Second
	// updateAgain follows a failure, twice as long with each, up to
	// updateEvery.
	updateAgain = time.Second
	// updateTimeout bounds an update from before the live record is read, so
	// that a process that was paused in between writes nothing of old.
	updateTimeout = 8 * time.Second
)

// updates is how the names in zones of others are doing, by service.
type updates struct {
	mu       sync.Mutex
	troubles map[string]error
}

func (u *updates) note(service string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.troubles == nil {
		u.troubles = make(map[string]error)
	}
	u.troubles[service] = err
}

// trouble is why the last update of the service's name failed, nil if it did
// not.
func (u *updates) trouble(service string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.troubles[service]
}

// KeepUpdates has the name of each service with a switch of the kind
// dns-update lead where the live record says, until ctx ends: at once when a
// record changes, and now and then, as somebody may have edited the zone.
func (w *World) KeepUpdates(ctx context.Context) {
	var watching, keeping sync.WaitGroup
	defer keeping.Wait()
	defer watching.Wait()
	changed := w.watchServices(ctx, &watching, w.Keys.Specs(), w.Keys.Lives())
	wake := make(map[string]chan struct{}) // by service
	for {
		var service string
		select {
		case <-ctx.Done():
			return
		case service = <-changed:
		}
		if wake[service] == nil {
			wake[service] = make(chan struct{}, 1)
			// Each has its own loop: one primary that is away holds up nobody
			// else's services.
			keeping.Go(func() { w.keepUpdated(ctx, service, wake[service]) })
		}
		select {
		case wake[service] <- struct{}{}:
		default:
		}
	}
}

// keepUpdated keeps one service's name.
func (w *World) keepUpdated(ctx context.Context, service string, wake <-chan struct{}) {
	k := keeper{World: w, service: service}
	defer k.forget()
	var again <-chan time.Time
	pause := updateAgain
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			pause = updateAgain
		case <-again:
		}
		updateCtx, cancel := context.WithTimeout(ctx, updateTimeout)
		mine, err := k.update(updateCtx)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case !mine:
			again = nil
		case err != nil:
			again = time.After(pause)
			pause = min(2*pause, updateEvery)
		default:
			again = time.After(updateEvery)
			pause = updateAgain
		}
	}
}

// keeper keeps one service's name.
type keeper struct {
	*World

	service string
	made    dnsupdate.Record // as it was when it last was right
	failed  string           // the last trouble, which is told once
}

// update makes the name right, and tells whether there is one to be kept.
func (k *keeper) update(ctx context.Context) (mine bool, err error) {
	s, record, err := k.wanted(ctx)
	switch {
	case errors.Is(err, ledger.ErrUnknownService), err == nil && record.Target == "":
		k.forget()
		return false, nil
	case err != nil:
		// Consul is away, and what is live is not known.
		k.Log.DebugContext(ctx, "name in another zone not looked at", "service", k.service, "error", err)
		return true, err
	}
	primary := dnsupdate.Primary{Server: s.Switch.Server, Zone: s.Switch.Zone, Key: s.Switch.Key, Keys: k.TSIG}
	// The fence is asked last. A driver that loses it right here writes what was
	// true a moment ago, and the next one puts it right.
	if _, err = k.Fence.Guard(); err != nil {
		return true, err
	}
	out, err := primary.Set(ctx, record)
	k.tell(ctx, s, record, out, err)
	return true, err
}

// wanted is the record as it is to be; without a target if there is none to be
// kept.
func (k *keeper) wanted(ctx context.Context) (spec.Service, dnsupdate.Record, error) {
	s, err := k.Service(ctx, k.service)
	if err != nil || s.Switch.Kind != spec.SwitchDNSUpdate {
		return s, dnsupdate.Record{}, err
	}
	live, err := k.Live(ctx, k.service)
	if err != nil || live == nil {
		return s, dnsupdate.Record{}, err
	}
	l := leadOf(s, s.Switch.Zone)
	return s, dnsupdate.Record{
		Name: l.name, Target: l.targets[live.Pool], TTL: s.Switch.InForce(live.Armed).Std(),
		Own: []string{l.targets[spec.Blue], l.targets[spec.Green]},
	}, nil
}

// tell says what came of an update: in the log each trouble once.
func (k *keeper) tell(ctx context.Context, s spec.Service, record dnsupdate.Record, out dnsupdate.Outcome, err error) {
	if errors.Is(err, context.Canceled) {
		return // it is to end
	}
	k.updates.note(k.service, err)
	k.Metrics.updated(k.service, out, err)
	log := k.Log.With("service", k.service, "name", record.Name, "primary", s.Switch.Server)
	if err != nil {
		if k.failed != err.Error() {
			log.ErrorContext(ctx, "the name does not follow the live record", "error", err)
		}
		k.failed = err.Error()
		return
	}
	same := k.made.Name == record.Name && k.made.Target == record.Target && k.made.TTL == record.TTL
	switch {
	case out.Changed && same:
		log.WarnContext(ctx, "the name was not what the live record says; put right", "was", out.Before, "is", record.Target)
	case out.Changed:
		log.InfoContext(ctx, "name updated", "was", out.Before, "is", record.Target, "ttl", record.TTL)
	case k.failed != "":
		log.InfoContext(ctx, "the name follows the live record again")
	}
	k.made, k.failed = record, ""
}

// forget says nothing more of the service: another replica may keep its name.
func (k *keeper) forget() {
	k.updates.note(k.service, nil)
	k.Metrics.forget(k.service)
	k.made, k.failed = dnsupdate.Record{}, ""
}
