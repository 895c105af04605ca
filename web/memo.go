package web

import (
	"context"
	"time"

	"switchd/status"
)

const (
	// fresh is how long a status is shown before it is read again, so that
	// many who look cost Consul no more than one.
	fresh = time.Second
	// readTime bounds one reading of the status; Prometheus gives a scrape
	// ten seconds if not told otherwise.
	readTime = 4 * time.Second
)

// reading is what one reading of the status gave.
type reading struct {
	at  time.Time
	doc status.Document // the last one that could be read, if Err is set
	err error
}

// memo reads the status for all who ask, once at a time. It is safe for
// concurrent use.
type memo struct {
	ledger status.Reader
	turn   chan struct{} // holds a token while somebody reads; guards last
	last   reading
}

func newMemo(ledger status.Reader) *memo {
	return &memo{ledger: ledger, turn: make(chan struct{}, 1)}
}

// read gives a status that is not older than fresh.
func (m *memo) read(ctx context.Context) reading {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return reading{err: ctx.Err()}
	}
	defer func() { <-m.turn }()
	if time.Since(m.last.at) < fresh {
		return m.last
	}
	// Others wait for this too, so that it must not end with the request.
	readCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTime)
	defer cancel()
	doc, err := status.Read(readCtx, m.ledger)
	if err == nil {
		m.last.doc = doc
	}
	m.last.at, m.last.err = time.Now(), err
	return m.last
}
