// Package poll waits for what gives no sign when it ends.
package poll

import (
	"context"
	"log/slog"
	"time"

	"switchd/runner"
)

// Ended asks for the status every interval, returns nil when nothing runs and
// ctx's error when ctx ends. A status that can't be told is no end: it is
// logged, once as long as it fails alike.
func Ended(ctx context.Context, interval time.Duration, log *slog.Logger, status func(context.Context) (runner.Status, error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for said := ""; ; {
		s, err := status(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && err.Error() != said:
			said = err.Error()
			log.WarnContext(ctx, "can't tell whether it runs", "error", err)
		case err == nil && !s.Running:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
