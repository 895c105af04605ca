package ledger

import (
	"context"
	"time"
)

// RemoveReleases looks once and removes once, under a fence of the test's.
func (l *Ledger) RemoveReleases(ctx context.Context, fence Fence, service string, retention Retention) error {
	verdicts, u, err := l.judge(ctx, service, retention, time.Now())
	if err != nil {
		return err
	}
	return l.remove(ctx, fence, u, going(verdicts))
}
