// Package rrl limits the rate of replies, so that a server is of no use to who
// sends it questions in another's name: response rate limiting, as BIND and NSD
// have it (ISC-TN-2012-1).
package rrl

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"time"
)

// Kind is what a reply is. Each kind has a rate of its own.
type Kind uint8

// The kinds of replies. Answers are counted by name; of all others, those to
// one prefix are counted together, for random names cost nothing.
const (
	Answer Kind = iota
	Referral
	NoData
	NXDomain
	Error
)

// String names the kind as metrics do.
func (k Kind) String() string {
	switch k {
	case Answer:
		return "answer"
	case Referral:
		return "referral"
	case NoData:
		return "nodata"
	case NXDomain:
		return "nxdomain"
	default:
		return "error"
	}
}

// Verdict is what becomes of a reply.
type Verdict uint8

// The verdicts.
const (
	// Send lets the reply go.
	Send Verdict = iota
	// Drop is for no reply at all.
	Drop
	// Slip is for an empty reply with TC: whoever did ask comes again by TCP.
	Slip
)

// String names the verdict as metrics do.
func (v Verdict) String() string {
	switch v {
	case Send:
		return "send"
	case Drop:
		return "drop"
	default:
		return "slip"
	}
}

// What a Config has that says nothing else.
const (
	DefaultRate    = 200
	DefaultWindow  = 15 * time.Second
	DefaultSlip    = 2
	DefaultPrefix4 = 24
	DefaultPrefix6 = 56
	DefaultBuckets = 1 << 16
)

// Bounds of a Config.
const (
	maxRate    = 100_000
	minWindow  = time.Second
	maxWindow  = time.Hour
	maxSlip    = 10
	maxBuckets = 1 << 24
)

// Config says what is limited, and to what.
type Config struct {
	Rate    int            // equal replies a second to one prefix; as many may go at once
	Window  time.Duration  // a flood must have ended for so long, before its prefix is trusted again
	Slip    int            // of the replies over the rate every so many are sent with TC: 1 all of them, 0 none
	Prefix4 int            // bits of an IPv4 address by which clients are told apart
	Prefix6 int            // of an IPv6 address, 64 at most
	Exempt  []netip.Prefix // are never limited, as loopback addresses aren't
	Buckets int            // how many rates are kept at once, at 8 bytes each; rounded up to a power of two
}

// Default returns what a server without further settings should have.
func Default() Config {
	return Config{
		Rate: DefaultRate, Window: DefaultWindow, Slip: DefaultSlip,
		Prefix4: DefaultPrefix4, Prefix6: DefaultPrefix6, Buckets: DefaultBuckets,
	}
}

// validate tells all that is wrong with the settings.
func (c Config) validate() error {
	var errs []error
	within := func(name string, value, low, high int) {
		if value < low || value > high {
			errs = append(errs, fmt.Errorf("%s must be %d to %d, got %d", name, low, high, value))
		}
	}
	within("rate", c.Rate, 1, maxRate)
	within("slip", c.Slip, 0, maxSlip)
	within("IPv4 prefix length", c.Prefix4, 1, 32)
	within("IPv6 prefix length", c.Prefix6, 1, 64)
	within("buckets", c.Buckets, 1, maxBuckets)
	if c.Window < minWindow || c.Window > maxWindow {
		errs = append(errs, fmt.Errorf("window must be %s to %s, got %s", minWindow, maxWindow, c.Window))
	}
	for _, p := range c.Exempt {
		if !p.IsValid() {
			errs = append(errs, errors.New("exempt prefix isn't valid"))
		}
	}
	return errors.Join(errs...)
}

// Limiter counts replies. It takes all its memory when it is made, and is safe
// for concurrent use.
type Limiter struct {
	table            table
	seed             maphash.Seed
	prefix4, prefix6 int
	exempt           []netip.Prefix
	slip             uint64
	cost             int64 // ticks that one reply is worth
	burst, debt      int64 // ticks by which a bucket may run ahead, for replies to go out; at most
}

// New returns a limiter.
func New(c Config) (*Limiter, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("response rate limit: %w", err)
	}
	second, rate := int64(time.Second/tick), int64(c.Rate)
	cost := (second + rate - 1) / rate
	burst := cost * rate
	return &Limiter{
		table: newTable(c.Buckets), seed: maphash.MakeSeed(),
		prefix4: c.Prefix4, prefix6: c.Prefix6, exempt: c.Exempt,
		slip: uint64(c.Slip),
		cost: cost, burst: burst, debt: burst + int64(c.Window/tick),
	}, nil
}

// Allow counts a reply to a client, and tells what is to become of it. hash is
// of the name that is answered for, and counts for answers only. now is in
// nanoseconds, best of a clock that is never set, as time.Since gives: with one
// that is set forward or far back, what was counted is forgotten, with one that
// is set back by less than the window, it counts for that much longer. Nothing
// is allocated.
func (l *Limiter) Allow(client netip.Addr, kind Kind, hash uint32, now int64) Verdict {
	client = client.Unmap()
	if client.IsLoopback() {
		return Send
	}
	for _, p := range l.exempt {
		if p.Contains(client) {
			return Send
		}
	}
	return l.charge(l.key(client, kind, hash), now/int64(tick))
}
