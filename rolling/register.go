package rolling

import (
	"cmp"
	"context"
	"time"

	"switchd/pools"
	"switchd/spec"
)

// register says in the catalog what runs here, when that has changed.
func (u *unit) register(ctx context.Context) error {
	run := u.state.Running
	if run == nil || u.order == nil {
		return nil
	}
	u.maintain(ctx, false, "") // a former try may have failed
	if err := u.reassert(ctx); err != nil {
		return err
	}
	// As it was started, not as it is wanted by now: a new port or health
	// check comes with the next version that is started.
	return u.announce(ctx, u.state.Service, *run, asItWas)
}

// reassert has what the local Consul agent has lost registered again.
func (u *unit) reassert(ctx context.Context) error {
	if u.registered == nil || time.Since(u.registeredAt) < u.agent.reassertEvery() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	known, err := pools.Registered(ctx, u.agent.Consul, *u.registered)
	switch {
	case err != nil:
		return err
	case known:
		u.registeredAt = time.Now()
	default:
		u.registered = nil
	}
	return nil
}

// proof is what is known of a version's health when it is registered.
type proof int

const (
	asItWas     proof = iota // the check goes on as it stands
	unproven                 // a new check, which has yet to pass
	seenHealthy              // a new check, which passes: the agent has just made it
)

// announce registers a version on the local Consul agent, unless that is done.
func (u *unit) announce(ctx context.Context, s spec.Service, run Run, proven proof) error {
	r := pools.Registration{
		Service: s, Pool: u.pool, Version: run.Version, Release: run.Release,
		Address: u.agent.Address, Port: s.Port, Live: u.order != nil && u.order.deploy.Live.Pool == u.pool, Healthy: proven == seenHealthy, Replace: proven != asItWas,
	}
	if u.registered != nil && same(*u.registered, r) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := pools.Register(ctx, u.agent.Consul, r); err != nil {
		return err
	}
	u.registered, u.registeredAt = &r, time.Now()
	return nil
}

func same(a, b pools.Registration) bool {
	return a.Version == b.Version && a.Release == b.Release && a.Address == b.Address && a.Port == b.Port &&
		a.Live == b.Live && a.Service.Health == b.Service.Health
}

// reassertEvery is how often it is looked, at rest, whether the local Consul
// agent still has the registration. It costs a call on the machine; Consul's
// servers see nothing of it.
func (a *Agent) reassertEvery() time.Duration {
	return cmp.Or(a.Reassert, 25*time.Second)
}

// callTimeout bounds a call to the local Consul agent.
const callTimeout = 5 * time.Second

func (u *unit) registerOrWarn(ctx context.Context, s spec.Service, run Run, proven proof) {
	if err := u.announce(ctx, s, run, proven); err != nil {
		u.log.WarnContext(ctx, "register", "error", err)
	}
}

func (u *unit) deregister(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := pools.Deregister(ctx, u.agent.Consul, u.service, u.pool); err != nil {
		return err
	}
	u.registered = nil
	u.state.Maintained = false // it goes with the registration
	return nil
}

// maintain switches Consul's maintenance mode of the instance. That is a
// courtesy to whoever is sent here; the health check tells the same. The
// journal knows that it was this agent who switched it on, so that it is
// switched off again, however often that takes, and that an operator's own
// maintenance is left alone.
func (u *unit) maintain(ctx context.Context, on bool, why string) {
	if !on && !u.state.Maintained {
		return
	}
	if on && !u.state.Maintained {
		u.state.Maintained = true
		u.save()
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := pools.Maintain(ctx, u.agent.Consul, u.service, u.pool, why, on); err != nil {
		u.log.WarnContext(ctx, "maintenance", "on", on, "error", err)
		return
	}
	if !on {
		u.state.Maintained = false
		u.save()
	}
}
