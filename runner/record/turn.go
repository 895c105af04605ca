package record

import (
	"context"
	"sync"
)

// Turns lets one at a time change a record. The zero value is ready.
type Turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{}
}

// Take waits for the turn at path, until ctx ends, and returns how to give it
// back.
func (t *Turns) Take(ctx context.Context, path string) (func(), error) {
	t.mu.Lock()
	if t.taken == nil {
		t.taken = make(map[string]chan struct{})
	}
	turn, ok := t.taken[path]
	if !ok {
		turn = make(chan struct{}, 1)
		t.taken[path] = turn
	}
	t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
