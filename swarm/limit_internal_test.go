package swarm

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimit_HoldsWithin20PercentForAllWhoShareIt(t *testing.T) {
	t.Parallel()
	for _, rate := range []int64{128 << 10, 1 << 20, 1 << 30} {
		synctest.Test(t, func(t *testing.T) {
			l := newLimit(rate)
			begin := time.Now()
			var all sync.WaitGroup
			for range 4 { // In writes of 64 KiB.
				all.Go(func() {
					for n := 2 * rate; n > 0; n -= 64 << 10 {
						if err := l.wait(t.Context(), 64<<10); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			if took := time.Since(begin); took < 8*time.Second*8/10 || took > 8*time.Second*12/10 {
				t.Errorf("8 s of bytes at %d a second took %v", rate, took)
			}
		})
	}
}

func TestLimit_ChangesWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(10 << 20)
		var all sync.WaitGroup
		all.Go(func() {
			if err := l.wait(t.Context(), 100<<20); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second) // Fake time.
		l.set(1 << 20)          // With a smaller burst.
		time.Sleep(time.Second)
		l.set(0)
		begin := time.Now()
		all.Wait()
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("without a limit it takes %v more", took)
		}
	})
}

func TestLimit_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newLimit(1).wait(ctx, 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if err := newLimit(0).wait(ctx, 1<<20); err != nil {
		t.Errorf("no limit waits: %v", err)
	}
}
