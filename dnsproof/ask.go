package dnsproof

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// Ask asks one authoritative name server, at host:port, where it leads the
// users of a name, and what the serial of its zone is. With weights it is the
// pool that this one query was led to. Each query is tried by UDP and then by
// TCP, for two seconds at most each.
//
// For a CNAME one reply proves both: for the type SOA, the name gives its
// CNAME and, as the target in the same zone has no such record, the zone's SOA
// with it (RFC 2308 section 2.2). A name with addresses of its own, as a
// zone's apex, takes several queries; they count if the serial is the same
// before and after.
func Ask(ctx context.Context, server, name string) (Reply, error) {
	q := question{server: server, name: name, authoritative: true}
	r, err := q.one(ctx, dns.TypeSOA)
	if err == nil && r.Target == "" {
		r, err = q.several(ctx, r)
	}
	if err != nil {
		return Reply{}, fmt.Errorf("ask name server %s for %s: %w", server, name, err)
	}
	return r, nil
}

// several asks for all that a name without a CNAME may have, between two looks
// at the serial.
func (q question) several(ctx context.Context, before Reply) (Reply, error) {
	const tries = 3
	for range tries {
		var r Reply
		for _, qtype := range []uint16{dns.TypeHTTPS, dns.TypeA, dns.TypeAAAA} {
			m, err := q.ask(ctx, qtype)
			if err != nil {
				return Reply{}, err
			}
			if err := r.read(m); err != nil {
				return Reply{}, err
			}
		}
		after, err := q.one(ctx, dns.TypeSOA)
		if err != nil {
			return Reply{}, err
		}
		if after.Zone == before.Zone && after.Serial == before.Serial {
			r.Zone, r.Serial = after.Zone, after.Serial
			return r, nil
		}
		before = after
	}
	return Reply{}, errors.New("the zone changes faster than it can be asked for")
}

// one reads the reply to one query.
func (q question) one(ctx context.Context, qtype uint16) (Reply, error) {
	var r Reply
	m, err := q.ask(ctx, qtype)
	if err != nil {
		return r, err
	}
	err = r.read(m)
	return r, err
}

// Resolve asks one recursive resolver, at host:port, where it leads those who
// ask for a name's addresses, of type A or AAAA: resolvers may keep the two
// apart. The TTL of the reply is how long the resolver will say so yet. There is no
// serial in it. The query is tried by UDP and then by TCP, for two seconds at
// most each.
func Resolve(ctx context.Context, resolver, name string, qtype uint16) (Reply, error) {
	r, err := question{server: resolver, name: name, recursive: true}.one(ctx, qtype)
	if err != nil {
		return Reply{}, fmt.Errorf("ask resolver %s for %s %s: %w", resolver, name, dns.TypeToString[qtype], err)
	}
	r.Zone, r.Serial = "", 0 // a resolver may have it from an older answer
	return r, nil
}
