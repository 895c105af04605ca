package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// errStalled ends a transfer in which nothing moves.
var errStalled = errors.New("stalled")

// watch returns a context that ends with errStalled when alive has not been
// called for a while.
func watch(ctx context.Context, stall time.Duration) (watched context.Context, alive, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(stall, func() {
		cancel(fmt.Errorf("%w: not a byte for %v", errStalled, stall))
	})
	return ctx, func() { timer.Reset(stall) }, func() {
		timer.Stop()
		cancel(nil)
	}
}

// cause adds to an error why its context ended.
func cause(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if why := context.Cause(ctx); !errors.Is(err, why) {
		return fmt.Errorf("%w: %w", why, err)
	}
	return err
}

// progressReader calls alive whenever it is read from with success.
type progressReader struct {
	r     io.Reader
	alive func()
}

func (p progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.alive()
	}
	return n, err
}
