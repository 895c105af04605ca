package rolling

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"switchd/consul"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// errHeldForDead is about the node, and not about what runs on it.
var errHeldForDead = errors.New("Consul holds the node for dead") //nolint:staticcheck // a name

// prove waits until the new version is healthy for long enough, here and in
// the catalog.
func (u *unit) prove(ctx context.Context) error {
	move := *u.state.Move
	// An agent that was away past the deadline must not take a healthy version
	// for a failed one: it gets at least the time to look.
	health := move.Service.Health
	look := move.Service.Roll.MinHealthyTime.Std() + 3*(health.Interval.Std()+health.Timeout.Std())
	// And a clock that was set back meanwhile gives it no more than it has.
	left := min(time.Until(move.Deadline), move.Service.Roll.HealthyDeadline.Std())
	looking, cancel := context.WithTimeout(ctx, max(look, left))
	defer cancel()
	err := u.healthy(looking, move.Service, move.To, move.Service.Roll.MinHealthyTime.Std())
	if err == nil {
		u.registerOrWarn(looking, move.Service, move.To, seenHealthy)
		u.maintain(looking, false, "")
		err = u.passes(looking, move)
	}
	_, unread := errors.AsType[*consul.Error](err)
	unread = unread || errors.Is(err, errHeldForDead)
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // the agent ends; the next one goes on
	case unread:
		return err // it says nothing about the version
	case err != nil:
		return u.refuse(ctx, err.Error())
	}
	u.state.Service, u.state.Running, u.state.Move, u.state.Refused = move.Service, &move.To, nil, nil
	u.save()
	u.crashes, u.refused, u.unstarted = 0, false, false
	u.log.InfoContext(ctx, "replaced", "version", move.To.Version)
	u.finish(ctx, move.Slot, rollout.Running, "")
	if rt, err := u.agent.runtime(move.Service.Runtime.Kind); err == nil {
		u.watchEnd(ctx, rt, move.To.Handle)
	}
	return nil
}

// healthy waits until the version answers its health check for an unbroken
// time, and fails when its process ends or ctx does.
func (u *unit) healthy(ctx context.Context, s spec.Service, run Run, unbroken time.Duration) error {
	rt, err := u.agent.runtime(s.Runtime.Kind)
	if err != nil {
		return err
	}
	// Often at first: most services are up soon, and the next node waits.
	every := 5 * time.Millisecond
	client := &http.Client{
		Timeout:       s.Health.Timeout.Std(),
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	url := "http://" + net.JoinHostPort(u.agent.Address, strconv.Itoa(s.Port)) + s.Health.Path
	var since time.Time
	last := errors.New("no answer yet")
	for {
		status, err := rt.Status(ctx, run.Handle)
		if err == nil && (!status.Running || status.Restarts > 0) {
			why := ""
			if status.Why != "" {
				why = " (" + status.Why + ")"
			}
			return fmt.Errorf("version %s ended by itself before it was healthy%s (last health check: %w); its output is in %s",
				run.Version, why, last, u.instance(s, run).LogFile)
		}
		err = probe(ctx, client, url)
		if err == nil && since.IsZero() {
			since = time.Now()
		}
		switch {
		case err == nil && time.Since(since) >= unbroken:
			return nil
		case err == nil:
			last = fmt.Errorf("healthy for %s only", time.Since(since).Round(time.Millisecond))
		case ctx.Err() == nil: // else it was cut off, and what was found before says more
			last, since = err, time.Time{}
		}
		pause := every
		if !since.IsZero() {
			pause = min(pause, max(unbroken-time.Since(since), time.Millisecond))
		}
		sleep(ctx, pause)
		every = min(2*every, 200*time.Millisecond)
		if ctx.Err() != nil {
			return fmt.Errorf("version %s was not healthy for %s within its deadline of %s: %w",
				run.Version, unbroken, s.Roll.HealthyDeadline, last)
		}
	}
}

func probe(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	_ = response.Body.Close() // nothing of it is read
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("health check: GET %s answered %s", url, response.Status)
	}
	return nil
}

// passes waits until the catalog shows this node passing with the version, so
// that the slot is given back only when the next node may count on this one.
func (u *unit) passes(ctx context.Context, move Move) error {
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		now, err := pools.ReadNode(ctx, u.agent.Consul, u.service, u.agent.Node)
		if err == nil {
			in, found := now[u.pool]
			switch {
			case !found:
				err = fmt.Errorf("version %s answers on the node, but Consul's catalog does not have it", move.To.Version)
			case in.Version != move.To.Version:
				err = fmt.Errorf("version %s answers on the node, but Consul's catalog still says %s", move.To.Version, in.Version)
			case in.Away:
				// A cable that was just put back: the agent reaches Consul before
				// the failure detector has heard of it.
				err = fmt.Errorf("version %s answers on the node, but %w: %s", move.To.Version, errHeldForDead, in.Why)
			case !in.Passing:
				err = fmt.Errorf("version %s answers on the node, but Consul does not hold it for passing: %s", move.To.Version, in.Why)
			default:
				return nil
			}
			// Consul may have been away for what prove told it, or have lost it.
			if !found || in.Version != move.To.Version {
				u.registered = nil
			}
			u.registerOrWarn(ctx, move.Service, move.To, seenHealthy)
			u.maintain(ctx, false, "")
		}
		sleep(ctx, pause)
		if ctx.Err() != nil {
			return err
		}
	}
}
