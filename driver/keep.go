package driver

import (
	"context"
	"sync"
	"time"
)

const (
	// keepTimeout bounds a look from before the live record is read, so that a
	// process that was paused in between writes nothing of old.
	keepTimeout = 8 * time.Second
	// keepAgain follows a failure, twice as long with each, up to keepLongest.
	keepAgain   = time.Second
	keepLongest = 30 * time.Second
	// keptAtOnce is how many services are looked at at a time. All of them are
	// when a replica begins to drive, and Consul's agents take a limited number of
	// connections from a client.
	// Source: https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file/general#http_max_conns_per_client
	keptAtOnce = 32
)

// keeper keeps something of one service that is derived from its live record.
type keeper interface {
	// look makes it right, and tells whether there is anything to be kept.
	look(ctx context.Context) (mine bool, err error)
	// forget says nothing more of the service: another replica may keep it.
	forget()
}

// keepEach has each service looked after that is named, until ctx ends: at once
// whenever it is named, again after a failure, and now and then if every isn't
// zero. Each has its own loop: a few that have to wait hold up nobody else.
func keepEach(ctx context.Context, services <-chan string, every time.Duration, keep func(service string) keeper) {
	var keeping sync.WaitGroup
	defer keeping.Wait()
	wake := make(map[string]chan struct{}) // by service
	free := make(chan struct{}, keptAtOnce)
	for {
		var service string
		select {
		case <-ctx.Done():
			return
		case service = <-services:
		}
		woken := wake[service]
		if woken == nil {
			woken = make(chan struct{}, 1)
			wake[service] = woken
			keeping.Go(func() { keepOne(ctx, woken, free, every, keep(service)) })
		}
		select {
		case woken <- struct{}{}:
		default:
		}
	}
}

// keepOne looks after one service, in turn with others as far as there is room in
// free.
func keepOne(ctx context.Context, wake <-chan struct{}, free chan struct{}, every time.Duration, k keeper) {
	defer k.forget()
	var again <-chan time.Time
	pause := keepAgain
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			pause = keepAgain
		case <-again:
		}
		select {
		case <-ctx.Done():
			return
		case free <- struct{}{}:
		}
		lookCtx, cancel := context.WithTimeout(ctx, keepTimeout)
		mine, err := k.look(lookCtx)
		cancel()
		<-free
		again = nil
		switch {
		case ctx.Err() != nil:
			return
		case mine && err != nil:
			again = time.After(pause)
			pause = min(2*pause, keepLongest)
		case mine && every > 0:
			again = time.After(every)
			pause = keepAgain
		}
	}
}

// troubles is how what is kept is doing, by service.
type troubles struct {
	mu      sync.Mutex
	service map[string]error
}

func (t *troubles) note(service string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.service == nil {
		t.service = make(map[string]error)
	}
	t.service[service] = err
}

// of is why the last look after the service failed, nil if it did not.
func (t *troubles) of(service string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.service[service]
}
