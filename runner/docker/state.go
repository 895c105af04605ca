package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"switchd/runner"
)

// settle is how long after its end a container that failed may take to be
// started again. Docker says that it is restarting; podman says nothing.
const settle = 3 * time.Second

// settlePause lies between two looks at it.
const settlePause = 100 * time.Millisecond

// state returns what the engine knows of a container once it knows whether it
// starts it again. It is nil for one that isn't there.
func (e *engine) state(ctx context.Context, id string) (*container.InspectResponse, error) {
	for {
		c, err := e.inspect(ctx, id)
		if c == nil || err != nil || !c.undecided(time.Now()) {
			return c.response(), err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(settlePause):
		}
	}
}

type inspected container.InspectResponse

func (c *inspected) response() *container.InspectResponse { return (*container.InspectResponse)(c) }

func (e *engine) inspect(ctx context.Context, id string) (*inspected, error) {
	result, err := e.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	switch {
	case errdefs.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look at container %.12s: %w", id, err)
	case result.Container.State == nil:
		return nil, fmt.Errorf("look at container %.12s: the engine tells no state", id)
	}
	c := inspected(result.Container)
	return &c, nil
}

// undecided tells whether the container has failed just now and may be started
// again at any moment.
func (c *inspected) undecided(now time.Time) bool {
	if running(c.response()) || c.State.ExitCode == 0 || c.State.Status == container.StateCreated {
		return false
	}
	finished, err := time.Parse(time.RFC3339Nano, c.State.FinishedAt)
	since := now.Sub(finished)
	return err == nil && since >= 0 && since < settle
}

// running tells whether a container is there, or is being started again.
func running(c *container.InspectResponse) bool {
	return c != nil && (c.State.Running || c.State.Restarting || c.State.Paused)
}

func (e *engine) status(ctx context.Context, c *container.InspectResponse) runner.Status {
	if c == nil {
		return runner.Status{Why: "the container has been removed"}
	}
	s := runner.Status{Running: running(c), Restarts: c.RestartCount}
	switch {
	case c.State.Error != "":
		s.Why = c.State.Error
	case c.State.OOMKilled:
		s.Why = "killed for want of memory"
	case s.Running && s.Restarts > 0:
		s.Why = e.lastEnd(ctx, c.ID)
	case !s.Running && c.State.Status != container.StateCreated:
		s.Why = fmt.Sprintf("exit status %d", c.State.ExitCode)
	}
	if s.Restarts > 0 {
		s.Why += fmt.Sprintf("; restarted %d times", s.Restarts)
	}
	return s
}

// eventTime bounds how long an engine may take to list its events. podman 4.3
// forgets some when it is not asked to wait for more.
const (
	eventTime = 2 * time.Second
	eventWait = 300 * time.Millisecond
)

// lastEnd says how a container ended last that runs again: its state has no
// trace of that, the engine's events have, for some time.
func (e *engine) lastEnd(ctx context.Context, id string) string {
	ctx, cancel := context.WithTimeout(ctx, eventTime)
	defer cancel()
	now := time.Now()
	result := e.Events(ctx, client.EventsListOptions{
		Since:   now.Add(-time.Hour).Format(time.RFC3339Nano),
		Until:   now.Add(eventWait).Format(time.RFC3339Nano),
		Filters: make(client.Filters).Add("container", id),
	})
	why := "failed"
	for {
		select {
		case message := <-result.Messages:
			if message.Action == events.ActionDie {
				why = "exit status " + message.Actor.Attributes["exitCode"]
			}
		case <-result.Err: //nolint:errcheck // Their end is one, and that of the time.
			return why
		}
	}
}
