package dnssec

import (
	"encoding/binary"
	"time"
)

const (
	// renewal is how long a signature is served, in seconds. It is valid
	// twice as long, so that half of that time is left when it is replaced.
	renewal = 7 * 24 * 3600 / 2
	// early is how long before it is served for the first time a signature is
	// valid, in seconds, for clients whose clocks are behind.
	early = 3600
)

// Span is a time from one moment to before another one.
type Span struct{ From, Until time.Time }

// Contains tells whether a moment is in the span.
func (s Span) Contains(t time.Time) bool { return !t.Before(s.From) && t.Before(s.Until) }

// intersect returns the time that is in both. The zero value holds always.
func (s Span) intersect(o Span) Span {
	if s == (Span{}) {
		return o
	}
	if o.From.After(s.From) {
		s.From = o.From
	}
	if o.Until.Before(s.Until) {
		s.Until = o.Until
	}
	return s
}

// period is the time in which a signature is served, by its first second
// since 1970. It depends on nothing but the time and what is signed: all
// replicas make the same signature, the signatures of a zone aren't renewed
// all at once, and a clock that is set back or forth finds another period, or
// the same one with a signature that is valid then.
type period int64

func periodAt(now time.Time, digest digest) period {
	phase := int64(binary.BigEndian.Uint64(digest[:]) % renewal)
	at := now.Unix()
	into := (at - phase) % renewal
	if into < 0 {
		into += renewal
	}
	return period(at - into)
}

func (p period) span() Span {
	return Span{From: time.Unix(int64(p), 0).UTC(), Until: time.Unix(int64(p)+renewal, 0).UTC()}
}

// inception and expiration are modulo 2³² (RFC 4034 section 3.1.5).
func (p period) inception() uint32  { return uint32(p - early) }
func (p period) expiration() uint32 { return uint32(p + 2*renewal) }
