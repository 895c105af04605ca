package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"switchd/runner"
)

// runtime runs no processes: what it starts is a listener that answers health
// checks, of which a thousand fit into one process.
type runtime struct {
	node  string
	truth *Truth
	sick  func(version string) bool

	mu    sync.Mutex
	count int
	runs  *run
}

type run struct {
	handle runner.Handle
	server *http.Server
	ended  chan struct{}
}

var _ runner.Runtime = (*runtime)(nil)

// Stage has nothing to make ready.
func (r *runtime) Stage(context.Context, runner.Instance) error { return nil }

// Cleanup has nothing to remove.
func (r *runtime) Cleanup(context.Context, runner.Instance) error { return nil }

// Start begins to answer health checks.
func (r *runtime) Start(ctx context.Context, inst runner.Instance) (runner.Handle, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", inst.Command[0])
	if err != nil {
		return "", fmt.Errorf("start %s: %w", inst.ID, err)
	}
	status := http.StatusOK
	if r.sick(inst.Version) {
		status = http.StatusServiceUnavailable
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs != nil {
		return "", errors.Join(fmt.Errorf("%s runs already", inst.ID), listener.Close())
	}
	r.count++
	now := &run{
		handle: runner.Handle(fmt.Sprintf("sim:%s:%d", r.node, r.count)), ended: make(chan struct{}),
		server: &http.Server{
			ReadHeaderTimeout: time.Second,
			Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }),
		},
	}
	r.runs = now
	go func() { _ = now.server.Serve(listener) }() // ends with Close
	r.truth.started(r.node, status == http.StatusOK)
	return now.handle, nil
}

// Find gives what answers now.
func (r *runtime) Find(context.Context, runner.Instance) ([]runner.Handle, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil {
		return nil, nil
	}
	return []runner.Handle{r.runs.handle}, nil
}

// Status tells whether it answers.
func (r *runtime) Status(_ context.Context, h runner.Handle) (runner.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return runner.Status{Running: r.runs != nil && r.runs.handle == h}, nil
}

// Stop ends the answers at once.
func (r *runtime) Stop(_ context.Context, h runner.Handle, _ runner.Instance) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil || r.runs.handle != h {
		return nil
	}
	r.truth.stopped(r.node)
	err := r.runs.server.Close()
	close(r.runs.ended)
	r.runs = nil
	return err
}

// Wait returns when the answers have ended.
func (r *runtime) Wait(ctx context.Context, h runner.Handle) error {
	r.mu.Lock()
	now := r.runs
	r.mu.Unlock()
	if now == nil || now.handle != h {
		return nil
	}
	select {
	case <-now.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends what runs, for good.
func (r *runtime) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil {
		return nil
	}
	err := r.runs.server.Close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
