package waitfor

import (
	"cmp"
	"context"
	"time"

	"switchd/gate"
)

// What holds where the spec says nothing.
const (
	defaultEvery   = 10 * time.Second
	defaultTimeout = 10 * time.Second
)

func (w Wait) timeout() time.Duration { return cmp.Or(w.For.Timeout.Std(), defaultTimeout) }

// again tries until ctx ends. What the last try found holds until the next one
// has found something.
func (w Wait) again(ctx context.Context, report func(gate.Verdict), try func(context.Context) gate.Verdict) {
	ticker := time.NewTicker(cmp.Or(w.For.Every.Std(), defaultEvery))
	defer ticker.Stop()
	for {
		v := try(ctx)
		if ctx.Err() != nil {
			return // what it says now is only that
		}
		report(v)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
