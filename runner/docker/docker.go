// Package docker runs instances as containers of Docker, or of podman through
// the same API.
//
// An image comes with the release, as an archive that docker save makes, or is
// on the node already; none is ever pulled. The release's directory is mounted
// read-only under its own path: a relative command with a slash is run from
// there, with the directory as its working directory; any other command, user
// and working directory are the image's.
//
// The engine starts again what failed, with its own back-off, but nothing after
// a restart of the machine: that is the agent's to decide. While a container
// runs its output is the engine's (docker logs); at its end it is copied to the
// log file.
//
// It is tested with podman 4.3 and runc, not with Docker itself.
package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"switchd/runner"
)

// Runtime runs instances as containers.
type Runtime struct {
	log *slog.Logger

	// removal lets one at a time copy the output of a container that has ended
	// and remove it.
	removal sync.Mutex
	// images lets one at a time load or remove images: podman 4.3 loses layers
	// that one is removing and another one is loading.
	images sync.Mutex
}

var _ runner.Runtime = (*Runtime)(nil)

// New returns a runtime that logs starts and stops to log.
func New(log *slog.Logger) *Runtime {
	return &Runtime{log: log}
}

// Stage loads the image, or finds out that it is missing.
func (r *Runtime) Stage(ctx context.Context, inst runner.Instance) error {
	return r.with(inst, "stage", func(e *engine) error {
		if err := check(inst); err != nil {
			return err
		}
		_, err := r.image(ctx, e, inst)
		return err
	})
}

// Start makes a container of the image and starts it.
func (r *Runtime) Start(ctx context.Context, inst runner.Instance) (runner.Handle, error) {
	var h runner.Handle
	err := r.with(inst, "start", func(e *engine) (err error) {
		h, err = r.start(ctx, e, inst)
		return err
	})
	return h, err
}

// Find returns the containers that carry the instance's ID as a label.
func (r *Runtime) Find(ctx context.Context, inst runner.Instance) ([]runner.Handle, error) {
	var found []runner.Handle
	err := r.with(inst, "find", func(e *engine) error {
		containers, err := e.list(ctx, inst)
		for _, c := range containers {
			if running(c) {
				found = append(found, identity{id: c.ID, socket: e.socket}.handle())
			}
		}
		return err
	})
	return found, err
}

// Status tells what the engine says of the container.
func (r *Runtime) Status(ctx context.Context, h runner.Handle) (runner.Status, error) {
	var s runner.Status
	err := of(h, func(e *engine, id string) error {
		c, err := e.state(ctx, id)
		if err == nil {
			s = e.status(ctx, c)
		}
		return err
	})
	return s, err
}

// Stop stops the container, copies its output to the log file and removes it.
func (r *Runtime) Stop(ctx context.Context, h runner.Handle, inst runner.Instance) error {
	err := of(h, func(e *engine, id string) error { return r.stop(ctx, e, id, inst) })
	return about("stop", inst, err)
}

// Wait returns when the container has ended and the engine doesn't start it
// again.
func (r *Runtime) Wait(ctx context.Context, h runner.Handle) error {
	err := of(h, func(e *engine, id string) error {
		for {
			if c, err := e.state(ctx, id); err != nil || !running(c) {
				return err
			}
			if err := e.wait(ctx, id); err != nil {
				return err
			}
		}
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Cleanup removes what has ended of the version, and its image.
func (r *Runtime) Cleanup(ctx context.Context, inst runner.Instance) error {
	return r.with(inst, "clean up", func(e *engine) error {
		containers, err := e.list(ctx, inst)
		if err != nil {
			return err
		}
		for _, c := range containers {
			if c.Config == nil || c.Config.Labels[versionLabel] != inst.Version {
				continue
			}
			if running(c) {
				return fmt.Errorf("container %s runs; stop it first", c.Name)
			}
			if err := r.remove(ctx, e, c.ID, inst); err != nil {
				return err
			}
		}
		r.images.Lock()
		defer r.images.Unlock()
		return e.removeImages(ctx, inst)
	})
}

// with runs do with the engine that the instance names.
func (r *Runtime) with(inst runner.Instance, action string, do func(*engine) error) error {
	e, err := newEngine(cmp.Or(inst.Settings[socketSetting], DefaultSocket))
	if err == nil {
		err = e.explain(do(e))
	}
	return about(action, inst, err)
}

// of runs do with the engine and the container that a handle names.
func of(h runner.Handle, do func(*engine, string) error) error {
	id, err := parseHandle(h)
	if err != nil {
		return err
	}
	e, err := newEngine(id.socket)
	if err != nil {
		return err
	}
	return e.explain(do(e, id.id))
}

func about(action string, inst runner.Instance, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s %s: %w", action, inst.ID, inst.Version, err)
	}
	return nil
}

func (r *Runtime) start(ctx context.Context, e *engine, inst runner.Instance) (runner.Handle, error) {
	if err := check(inst); err != nil {
		return "", err
	}
	image, err := r.image(ctx, e, inst)
	if err != nil {
		return "", err
	}
	name := containerName(inst)
	if c, err := e.state(ctx, name); err != nil {
		return "", err
	} else if running(c) {
		return "", fmt.Errorf("container %s runs already; stop it first", name)
	} else if c != nil {
		if err := r.remove(ctx, e, c.ID, inst); err != nil {
			return "", err
		}
	}
	create, err := options(inst, image)
	if err != nil {
		return "", err
	}
	created, err := e.ContainerCreate(ctx, create)
	if err != nil {
		return "", fmt.Errorf("create container %s: %w", name, err)
	}
	for _, warning := range created.Warnings {
		r.log.WarnContext(ctx, "the container engine warns", "instance", inst.ID, "version", inst.Version, "container", name, "warning", warning)
	}
	if _, err := e.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		_, removal := e.ContainerRemove(context.WithoutCancel(ctx), created.ID, client.ContainerRemoveOptions{Force: true})
		return "", errors.Join(fmt.Errorf("start container %s: %w", name, err), removal)
	}
	r.log.InfoContext(ctx, "instance started", "instance", inst.ID, "version", inst.Version, "container", name)
	return identity{id: created.ID, socket: e.socket}.handle(), nil
}

func (r *Runtime) stop(ctx context.Context, e *engine, id string, inst runner.Instance) error {
	sig, err := inst.Signal()
	if err != nil {
		return err
	}
	grace := seconds(inst.StopGrace)
	if sig == unix.SIGKILL {
		grace = 0 // Engines before API 1.42 know no other signal than the container's.
	}
	for try := 1; ; try++ {
		_, err = e.ContainerStop(ctx, id, client.ContainerStopOptions{Signal: unix.SignalName(sig), Timeout: &grace})
		if errdefs.IsNotFound(err) {
			return nil
		}
		if err != nil && !errdefs.IsNotModified(err) {
			return fmt.Errorf("stop container %.12s: %w", id, err)
		}
		// One that had just failed may be started again after it was stopped,
		// but not after it was removed. It may also run only while it is to be
		// removed, and have failed again by the next look.
		err = r.remove(ctx, e, id, inst)
		if err == nil {
			r.log.InfoContext(ctx, "instance stopped", "instance", inst.ID, "version", inst.Version, "container", id[:12])
			return nil
		}
		c, inspectErr := e.inspect(ctx, id)
		if inspectErr != nil || c != nil && !running(c.response()) && try >= tries {
			return errors.Join(err, inspectErr)
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// errRunning refuses to remove a container.
var errRunning = errors.New("it runs again")

// image makes sure that the image of an instance is there and returns what it
// is called.
func (r *Runtime) image(ctx context.Context, e *engine, inst runner.Instance) (string, error) {
	r.images.Lock()
	defer r.images.Unlock()
	return e.image(ctx, inst)
}

// remove copies the output of a container that has ended to the log file and
// removes it. One that is gone is no error.
func (r *Runtime) remove(ctx context.Context, e *engine, id string, inst runner.Instance) error {
	r.removal.Lock()
	defer r.removal.Unlock()
	c, err := e.inspect(ctx, id)
	if c == nil || err != nil {
		return err
	}
	if running(c.response()) {
		return fmt.Errorf("remove container %.12s: %w", id, errRunning)
	}
	if err := e.copyLog(ctx, id, inst.LogFile); err != nil {
		r.log.WarnContext(ctx, "a container's output is lost", "instance", inst.ID, "version", inst.Version, "container", id[:12], "error", err)
	}
	_, err = e.ContainerRemove(ctx, id, client.ContainerRemoveOptions{RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove container %.12s: %w", id, err)
	}
	return nil
}

// list returns the containers of an instance, of whichever version.
func (e *engine) list(ctx context.Context, inst runner.Instance) ([]*container.InspectResponse, error) {
	filters := make(client.Filters).Add("label", instanceLabel+"="+inst.ID)
	result, err := e.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var list []*container.InspectResponse
	for _, item := range result.Items {
		c, err := e.state(ctx, item.ID)
		if err != nil {
			return nil, err
		}
		if c != nil {
			list = append(list, c)
		}
	}
	return list, nil
}

// wait returns at the next end of a container, or when it is gone.
func (e *engine) wait(ctx context.Context, id string) error {
	ended := e.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case <-ctx.Done():
		// The client delivers one of both even then, and may wait for a reader.
		select {
		case <-ended.Result:
		case <-ended.Error: //nolint:errcheck // The context's counts.
		}
		return ctx.Err()
	case <-ended.Result:
		return nil
	case err := <-ended.Error:
		if errdefs.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("wait for container %.12s: %w", id, err)
	}
}
