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

// prove waits until the new version is healthy for long enough, here and in
// the catalog.
func (u *unit) prove(ctx context.Context) error {
	move := *u.state.Move
	u.registerOrWarn(ctx, move.Service, move.To)
	// An agent that was away past the deadline must not take a healthy version
	// for a failed one: it gets at least the time to look.
	health := move.Service.Health
	look := move.Service.Roll.MinHealthyTime.Std() + 3*(health.Interval.Std()+health.Timeout.Std())
	deadline := time.Now().Add(look)
	if deadline.Before(move.Deadline) {
		deadline = move.Deadline
	}
	looking, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := u.healthy(looking, move.Service, move.To, move.Service.Roll.MinHealthyTime.Std())
	if err == nil {
		u.registerOrWarn(looking, move.Service, move.To)
		u.maintain(looking, false, "")
		err = u.passes(looking, move)
	}
	_, unread := errors.AsType[*consul.Error](err)
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
	u.crashes = 0
	u.log.InfoContext(ctx, "replaced", "version", move.To.Version)
	u.watchEnd(ctx, move.To.Handle)
	if session := u.agent.current(); session != nil {
		u.say(ctx, session, u.want(), rollout.Running, "")
	}
	u.releaseSlot(ctx, move.Slot)
	return nil
}

// healthy waits until the version answers its health check for an unbroken
// time, and fails when its process ends or ctx does.
func (u *unit) healthy(ctx context.Context, s spec.Service, run Run, unbroken time.Duration) error {
	const every = 200 * time.Millisecond
	client := &http.Client{
		Timeout:       s.Health.Timeout.Std(),
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	url := "http://" + net.JoinHostPort(u.agent.Address, strconv.Itoa(s.Port)) + s.Health.Path
	var since time.Time
	last := errors.New("no answer yet")
	for {
		alive, err := u.agent.Runtime.Running(ctx, run.Handle)
		if err == nil && !alive {
			return fmt.Errorf("version %s ended by itself before it was healthy (last health check: %w); its output is in %s",
				run.Version, last, u.instance(s, run).LogFile)
		}
		if last = probe(ctx, client, url); last != nil {
			since = time.Time{}
		} else if since.IsZero() {
			since = time.Now()
		}
		if !since.IsZero() && time.Since(since) >= unbroken {
			return nil
		}
		sleep(ctx, every)
		if ctx.Err() != nil {
			if last == nil {
				last = fmt.Errorf("it was healthy for %s only", time.Since(since).Round(time.Millisecond))
			}
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
	for {
		now, err := pools.Read(ctx, u.agent.Consul, u.service)
		if err == nil {
			in, found := now[u.pool].On(u.agent.Node)
			switch {
			case !found:
				err = fmt.Errorf("version %s answers on the node, but Consul's catalog does not have it", move.To.Version)
			case in.Version != move.To.Version:
				err = fmt.Errorf("version %s answers on the node, but Consul's catalog still says %s", move.To.Version, in.Version)
			case !in.Passing:
				err = fmt.Errorf("version %s answers on the node, but Consul does not hold it for passing: %s", move.To.Version, in.Why)
			default:
				return nil
			}
			// Consul may have been away for what prove told it.
			u.registerOrWarn(ctx, move.Service, move.To)
			u.maintain(ctx, false, "")
		}
		sleep(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return err
		}
	}
}
