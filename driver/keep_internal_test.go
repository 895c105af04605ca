package driver

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd counts how many services are looked at, together and at a time.
type crowd struct {
	now, most atomic.Int64
	all       sync.WaitGroup
}

// counted is one of them.
type counted struct {
	*crowd

	once sync.Once
}

func (c *counted) look(context.Context) (bool, error) {
	now := c.now.Add(1)
	for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	time.Sleep(time.Millisecond) // for others to come in
	c.now.Add(-1)
	c.once.Do(c.all.Done)
	return false, nil
}

func (*counted) forget() {}

// TestKeepEach_LooksAtThousandsAFewAtATime names all services at once, as at the
// begin of a replica's turn.
func TestKeepEach_LooksAtThousandsAFewAtATime(t *testing.T) {
	t.Parallel()
	const services = 2000
	var c crowd
	c.all.Add(services)
	ctx, cancel := context.WithCancel(t.Context())
	names := make(chan string)
	ended := make(chan struct{})
	go func() {
		keepEach(ctx, names, 0, func(string) keeper { return &counted{crowd: &c} })
		close(ended)
	}()
	for i := range services {
		names <- fmt.Sprint("service", i)
	}
	c.all.Wait()
	cancel()
	<-ended
	if most := c.most.Load(); most > keptAtOnce || most < 2 {
		t.Errorf("%d were looked at at a time, want up to %d", most, keptAtOnce)
	}
}
