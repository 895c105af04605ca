package swarm

import (
	"context"

	"golang.org/x/time/rate"
)

// minBurst is the least that may go through a limit at once, in bytes: a
// block with its header.
const minBurst = 32 << 10

// limit bounds bytes a second; those that share it share the rate.
type limit struct{ limiter *rate.Limiter }

// newLimit returns a limit; a rate of 0 is none.
func newLimit(bytesPerSecond int64) limit {
	l := limit{rate.NewLimiter(rate.Inf, 0)}
	l.set(bytesPerSecond)
	return l
}

func (l limit) set(bytesPerSecond int64) {
	if bytesPerSecond <= 0 {
		l.limiter.SetLimit(rate.Inf)
		return
	}
	l.limiter.SetBurst(int(min(max(bytesPerSecond/10, minBurst), 1<<30)))
	l.limiter.SetLimit(rate.Limit(bytesPerSecond))
}

// wait returns when n more bytes may pass.
func (l limit) wait(ctx context.Context, n int) error {
	for n > 0 && l.limiter.Limit() != rate.Inf {
		step := min(n, l.limiter.Burst())
		if err := l.limiter.WaitN(ctx, step); err == nil {
			n -= step
		} else if step <= l.limiter.Burst() { // Else it was lowered meanwhile.
			return err
		}
	}
	return nil
}
