package poll_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchd/runner"
	"switchd/runner/poll"
)

func TestEnded_GoesOnWhileItCannotBeTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		asked, begin := 0, time.Now()
		err := poll.Ended(t.Context(), time.Second, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context) (runner.Status, error) {
			asked++
			switch {
			case asked == 1:
				return runner.Status{Running: true}, nil
			case asked < 5:
				return runner.Status{}, errors.New("no answer")
			}
			return runner.Status{}, nil
		})
		if took := time.Since(begin); err != nil || asked != 5 || took != 4*time.Second {
			t.Errorf("asked %d times in %v, %v, want 5 times in 4 s", asked, took, err)
		}
		if n := strings.Count(log.String(), "no answer"); n != 1 {
			t.Errorf("it was logged %d times, want once: %s", n, log.String())
		}
	})
}

func TestEnded_ObeysItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		running := func(context.Context) (runner.Status, error) { return runner.Status{Running: true}, nil }
		begin := time.Now()
		err := poll.Ended(ctx, time.Second, slog.New(slog.DiscardHandler), running)
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != 2500*time.Millisecond {
			t.Errorf("after %v: %v, want %v after 2.5 s", took, err, context.DeadlineExceeded)
		}
	})
}
