//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// sender asks a server and checks every answer. It is one thread: run it on a
// core of its own.
//
// With a rate, a query is due at a fixed time whatever became of the ones
// before, and its latency counts from then: a server that stalls is charged
// for all that were due meanwhile (no "coordinated omission"). The sender never
// sleeps then. Without a rate, so many queries are always under way.
type sender struct {
	server    netip.AddrPort
	questions []question
	cookie    bool // EDNS with a client's cookie (RFC 7873)
	rate      int  // queries a second; 0: as many as are answered
	window    int  // queries under way without a rate
	sockets   int
	duration  time.Duration
	// answered, if set, judges an answer in place of the question's check.
	answered func(packet []byte, sent, now time.Time) error
	// enough, if set, tells that no more is to be asked.
	enough func() bool
}

// lostAfter is when a query without an answer counts as lost.
const lostAfter = time.Second

// outcome is what a sender has seen.
type outcome struct {
	Sent, Answered, Lost int
	QPS                  float64
	P50, P99, Max        time.Duration
	Late                 time.Duration // the most that the sender was behind its own schedule
}

// pending is a query under way, by its identifier.
type pending struct {
	due      time.Time
	question int32
	waiting  bool
}

// flight is a run of a sender.
type flight struct {
	*sender

	sockets   []*batch
	packets   [][]byte
	known     [][]byte // the last right answer to each question, without its identifier
	pending   [1 << 16]pending
	oldest    uint16 // identifiers before it aren't under way
	next      uint16
	asked     int
	underWay  int
	polled    []unix.PollFd
	latencies []time.Duration
	outcome   outcome
	err       error
}

// clientCookie is 8 bytes in hexadecimal digits.
const clientCookie = "0102030405060708"

func (s *sender) run() (outcome, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it makes little garbage
	f := &flight{sender: s, known: make([][]byte, len(s.questions)), latencies: make([]time.Duration, 0, 1<<21)}
	defer func() {
		for _, b := range f.sockets {
			b.close()
		}
	}()
	for range max(1, s.sockets) {
		b, err := newBatch(s.server)
		if err != nil {
			return outcome{}, err
		}
		f.sockets = append(f.sockets, b)
	}
	var options []dns.EDNS0
	if s.cookie {
		options = append(options, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: clientCookie})
	}
	for _, q := range s.questions {
		packet, err := q.packet(true, options...)
		if err != nil {
			return outcome{}, fmt.Errorf("ask for %s: %w", q.name, err)
		}
		f.packets = append(f.packets, packet)
	}
	if err := f.fly(); err != nil {
		return outcome{}, err
	}
	return f.outcome, nil
}

func (f *flight) fly() error {
	begin := time.Now()
	end := begin.Add(f.duration)
	now := begin
	for now.Before(end) || f.underWay > 0 {
		if f.enough != nil && f.enough() {
			end = now
		}
		if now.Before(end) {
			if err := f.send(begin, now); err != nil {
				return err
			}
		}
		before := f.outcome.Answered
		for _, b := range f.sockets {
			now = time.Now()
			if err := b.receive(func(packet []byte) { f.take(packet, now) }); err != nil {
				return err
			}
		}
		if f.rate == 0 && f.outcome.Answered == before {
			if err := f.wait(); err != nil {
				return err
			}
		}
		if f.err != nil {
			return f.err
		}
		now = time.Now()
		f.lose(now)
	}
	f.outcome.QPS = float64(f.outcome.Answered) / end.Sub(begin).Seconds()
	slices.Sort(f.latencies)
	f.outcome.P50, f.outcome.P99, f.outcome.Max = percentile(f.latencies, 50), percentile(f.latencies, 99), percentile(f.latencies, 100)
	return nil
}

// send sends what is due.
func (f *flight) send(begin, now time.Time) error {
	for {
		due := now
		if f.rate > 0 {
			due = begin.Add(time.Duration(f.asked) * time.Second / time.Duration(f.rate))
			if due.After(now) {
				break
			}
			f.outcome.Late = max(f.outcome.Late, now.Sub(due))
		} else if f.underWay >= f.window {
			break
		}
		if f.next+1 == f.oldest {
			break // all identifiers are taken
		}
		at := f.asked % len(f.packets)
		if !f.sockets[f.asked%len(f.sockets)].queue(f.packets[at], f.next) {
			break
		}
		f.pending[f.next] = pending{due: due, question: int32(at), waiting: true}
		f.next++
		f.asked++
		f.underWay++
		f.outcome.Sent++
	}
	for _, b := range f.sockets {
		if err := b.flush(); err != nil {
			return err
		}
	}
	return nil
}

// wait sleeps until an answer is there, or for a moment.
func (f *flight) wait() error {
	const moment = time.Millisecond
	fds := f.polled[:0]
	for _, b := range f.sockets {
		fds = append(fds, unix.PollFd{Fd: int32(b.fd), Events: unix.POLLIN})
	}
	f.polled = fds
	if _, err := unix.Poll(fds, int(moment.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for answers: %w", err)
	}
	return nil
}

// take takes an answer in.
func (f *flight) take(packet []byte, now time.Time) {
	if f.err != nil {
		return
	}
	if len(packet) < 2 {
		f.err = fmt.Errorf("an answer of %d bytes", len(packet))
		return
	}
	p := &f.pending[uint16(packet[0])<<8|uint16(packet[1])]
	if !p.waiting {
		return // it was given up
	}
	p.waiting = false
	f.underWay--
	f.outcome.Answered++
	f.latencies = append(f.latencies, now.Sub(p.due))
	if f.answered != nil {
		f.err = f.answered(packet, p.due, now)
		return
	}
	// Most answers are the same as the last one, which was right.
	if bytes.Equal(packet[2:], f.known[p.question]) {
		return
	}
	if f.err = f.questions[p.question].check(packet); f.err == nil {
		f.known[p.question] = append(f.known[p.question][:0], packet[2:]...)
	}
}

// lose gives up what was asked too long ago.
func (f *flight) lose(now time.Time) {
	for f.oldest != f.next {
		p := &f.pending[f.oldest]
		if p.waiting {
			if now.Sub(p.due) < lostAfter {
				return
			}
			p.waiting = false
			f.underWay--
			f.outcome.Lost++
		}
		f.oldest++
	}
}

// percentile returns the p-th percentile of sorted values, 0 without any.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
