package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Sender sends a message to an address. Its errors have nothing secret in them.
type Sender interface {
	Send(ctx context.Context, to Address, m Message) error
}

// Post delivers notices. It outlives the lease of who has something to tell.
type Post struct {
	File    *File
	Sender  Sender
	Log     *slog.Logger
	Metrics *Metrics // may be nil
}

// Outcome is what became of a notice.
type Outcome int

// The outcomes of a notice.
const (
	Delivered Outcome = iota // at one of the name's addresses at least
	Missed                   // it was tried for Patience
	Returned                 // its address is no more, or the desk has closed: it is to be told anew
)

// ErrUnknownName says that the file of addresses doesn't have a name.
var ErrUnknownName = errors.New("nobody is known by this name")

// ErrFull says that an address has so many notices waiting that it can take no
// more now.
var ErrFull = errors.New("too many notices wait for an address")

// Open begins to deliver, until ctx ends. The desk is to be closed.
func (p *Post) Open(ctx context.Context) *Desk {
	ctx, cancel := context.WithCancel(ctx)
	return &Desk{post: p, ctx: ctx, cancel: cancel, lines: make(map[place]*line)}
}

// Desk takes notices. Each address has a line of its own: one that hangs holds up
// nobody else, and none of them who brings the notices.
type Desk struct {
	post   *Post
	ctx    context.Context //nolint:containedctx // of the lines, which begin when they are needed
	cancel context.CancelFunc
	work   sync.WaitGroup
	lines  map[place]*line
}

// place is an address of a name.
type place struct{ name, url string }

// Take has a notice delivered at all addresses of its name, and tells done once,
// from another goroutine, what became of it. It never waits. With an error, done
// isn't called. It is for one goroutine.
func (d *Desk) Take(n Notice, done func(Outcome)) error {
	addresses := d.post.File.Addresses(d.ctx).Of(n.To)
	if len(addresses) == 0 {
		return ErrUnknownName
	}
	var lines []*line
	for _, a := range addresses {
		l := d.line(n.To, a)
		if l.full() {
			return ErrFull
		}
		lines = append(lines, l)
	}
	l := &letter{Notice: n, at: time.Now(), done: done}
	l.open.Store(int32(len(lines))) //nolint:gosec // at most maxOfName
	for _, line := range lines {
		line.add(l)
	}
	return nil
}

func (d *Desk) line(name string, a Address) *line {
	at := place{name, a.url}
	if l := d.lines[at]; l != nil {
		return l
	}
	l := newLine(d.post, name, a)
	d.lines[at] = l
	d.work.Go(func() { l.run(d.ctx) })
	return l
}

// Close ends the delivery. What was not delivered is returned.
func (d *Desk) Close() {
	d.cancel()
	d.work.Wait()
	for _, l := range d.lines {
		l.finish(l.waiting(), Returned)
	}
}

// letter is a notice on its way to the addresses of a name.
type letter struct {
	Notice

	at        time.Time
	done      func(Outcome)
	open      atomic.Int32 // addresses that have not said what became of it
	delivered atomic.Bool
	returned  atomic.Bool
}

// closed is called once for each address.
func (l *letter) closed(o Outcome) {
	switch o {
	case Delivered:
		l.delivered.Store(true)
	case Returned:
		l.returned.Store(true)
	case Missed:
	}
	if l.open.Add(-1) > 0 {
		return
	}
	switch {
	case l.delivered.Load():
		l.done(Delivered)
	case l.returned.Load():
		l.done(Returned)
	default:
		l.done(Missed)
	}
}
