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

// updateEvery is how often a name in somebody else's zone is looked at though
// nothing has changed here.
const updateEvery = 30 * time.Second

// KeepUpdates has the name of each service with a switch of the kind
// dns-update lead where the live record says, until ctx ends: at once when a
// record changes, and now and then, as somebody may have edited the zone.
func (w *World) KeepUpdates(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	changed := w.watchServices(ctx, &watching, w.Keys.Specs(), w.Keys.Lives())
	keepEach(ctx, changed, updateEvery, func(service string) keeper { return &nameKeeper{World: w, service: service} })
}

// nameKeeper keeps one service's name.
type nameKeeper struct {
	*World

	service string
	made    dnsupdate.Record // as it was when it last was right
	failed  string           // the last trouble, which is told once
}

// look makes the name right, and tells whether there is one to be kept.
func (k *nameKeeper) look(ctx context.Context) (mine bool, err error) {
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
func (k *nameKeeper) wanted(ctx context.Context) (spec.Service, dnsupdate.Record, error) {
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
func (k *nameKeeper) tell(ctx context.Context, s spec.Service, record dnsupdate.Record, out dnsupdate.Outcome, err error) {
	if errors.Is(err, context.Canceled) {
		return // it is to end
	}
	k.nameTroubles.note(k.service, err)
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
		k.Metrics.righted("update", k.service)
		log.WarnContext(ctx, "the name was not what the live record says; put right", "was", out.Before, "is", record.Target)
	case out.Changed:
		log.InfoContext(ctx, "name updated", "was", out.Before, "is", record.Target, "ttl", record.TTL)
	case k.failed != "":
		log.InfoContext(ctx, "the name follows the live record again")
	}
	k.made, k.failed = record, ""
}

// forget says nothing more of the service: another replica may keep its name.
func (k *nameKeeper) forget() {
	k.nameTroubles.note(k.service, nil)
	k.Metrics.forget(k.service)
	k.made, k.failed = dnsupdate.Record{}, ""
}
