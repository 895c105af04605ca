package dnsupdate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip/tsig"
)

// Primary is the name server at which a zone is changed.
type Primary struct {
	Server string // host:port
	Zone   string
	Key    string     // name of the TSIG key that it takes updates by
	Keys   *tsig.Ring // that has the key
}

// Outcome is what Set did.
type Outcome struct {
	Changed bool
	// Before is what the name led to, without a final dot; empty: nothing.
	Before string
}

const (
	// setTimeout bounds one Set.
	setTimeout = 10 * time.Second
	// looks is how often Set reads the name. Another writer that is faster
	// each time is not there in earnest.
	looks = 4
)

// Set makes the name hold the record, and nothing more if it does already. It
// may be called twice at once. All of a change is one message, so nobody
// meets the name without its CNAME. What the name holds is read first and read
// again after a change; the change is held to what was read.
//
// A name that holds something else is a *ForeignError and left as it is. What
// the primary won't do is a *RefusedError. Set takes ten seconds at most.
func (p Primary) Set(ctx context.Context, want Record) (Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, setTimeout, fmt.Errorf("no end after %s", setTimeout))
	defer cancel()
	out, err := p.set(ctx, want)
	if err != nil {
		return out, fmt.Errorf("point %s to %s: %w", plain(want.Name), plain(want.Target), err)
	}
	return out, nil
}

func (p Primary) set(ctx context.Context, want Record) (Outcome, error) {
	var out Outcome
	if err := want.check(p.Zone); err != nil {
		return out, err
	}
	var now held
	taken := false // the name was in use when it was to be made
	for range looks {
		var err error
		if now, err = p.read(ctx, want.Name); err != nil {
			return out, err
		}
		switch {
		case want.is(now):
			return out, nil
		case taken && !want.owns(now):
			return out, p.foreign(ctx, want, now)
		}
		reply, err := p.exchange(ctx, want.update(p.Zone, now))
		if err != nil {
			return out, err
		}
		switch reply.Rcode {
		case dns.RcodeSuccess:
			out.Changed, out.Before = true, now.target()
		case dns.RcodeYXDomain:
			taken = true
		case dns.RcodeNXRrset: // somebody was faster
		default:
			return out, p.refused(reply)
		}
	}
	if out.Changed {
		return out, fmt.Errorf("%s took the update, but still answers %s", p.Server, words(now.target(), nil))
	}
	return out, fmt.Errorf("%s holds %s and changes faster than it can be updated", p.Server, words(now.target(), nil))
}

// read reads the name's CNAME at the primary. What a wildcard has for the name
// reads the same; only the attempt to write tells.
func (p Primary) read(ctx context.Context, name string) (held, error) {
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(name), dns.TypeCNAME)
	query.RecursionDesired = false
	reply, err := p.exchange(ctx, query)
	if err != nil {
		return held{}, err
	}
	switch {
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return held{}, p.refused(reply)
	case !reply.Authoritative:
		return held{}, fmt.Errorf("%s is not authoritative for %s; is it the primary of %s, and is the name not delegated?", p.Server, plain(name), plain(p.Zone))
	}
	for _, rr := range reply.Answer {
		if cname, ok := rr.(*dns.CNAME); ok && plain(cname.Hdr.Name) == plain(name) {
			return held{cname}, nil
		}
	}
	return held{}, nil
}

// foreign says what the name holds, as far as the primary tells.
func (p Primary) foreign(ctx context.Context, want Record, now held) error {
	e := &ForeignError{Name: plain(want.Name), Target: now.target(), Own: want.Own}
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(want.Name), dns.TypeANY)
	query.RecursionDesired = false
	reply, err := p.exchange(ctx, query)
	if err != nil {
		return e
	}
	for _, rr := range reply.Answer {
		switch rr.Header().Rrtype {
		case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3: // of the zone, not of a person
		default:
			e.Types = append(e.Types, dns.TypeToString[rr.Header().Rrtype])
		}
	}
	slices.Sort(e.Types)
	e.Types = slices.Compact(e.Types)
	return e
}
