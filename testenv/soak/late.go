package main

import (
	"strings"
	"sync"

	"switchd/testenv/intercept"
	"switchd/testenv/linear"
)

// late keeps back what a replica says, from its next write of a rollout record
// on, until another replica has taken the lease: then it comes, too late. That
// is what a network may do at its worst.
type late struct {
	mu     sync.Mutex
	who    string        // is waited for; empty: nobody
	caught bool          // its write is kept back
	came   bool          // and was let go since somebody else held the lease
	free   chan struct{} // closed when all that is kept back may go
}

// catch begins to wait for a replica's write.
func (l *late) catch(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.who, l.caught, l.came, l.free = who, false, false, make(chan struct{})
}

// hold keeps a call back, if it is to be.
func (l *late) hold(who string, c *intercept.Call, h *linear.History) {
	l.mu.Lock()
	free := l.free
	if who == l.who && !l.caught {
		ops, _ := c.Txn()
		for _, op := range ops {
			l.caught = l.caught || h.Keeps(op.Key) && strings.Contains(string(op.Verb), "cas")
		}
	}
	wait := who == l.who && l.caught
	l.mu.Unlock()
	if wait {
		<-free
	}
}

// release lets everything go that another replica has said.
func (l *late) release(taker string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.who == "" || l.who == taker || !l.caught {
		return
	}
	l.came = true
	l.stop()
}

// end lets everything go, and tells whether a write has come too late.
func (l *late) end() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop()
	return l.came
}

func (l *late) stop() {
	if l.who != "" {
		l.who = ""
		close(l.free)
	}
}
