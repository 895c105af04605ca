package dnsflip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"switchd/spec"
)

// askTimeout bounds one try of Ask.
const askTimeout = 2 * time.Second

// Ask asks one name server, at host:port, which pool it leads the users of a
// service's name to, and what the serial of its zone is. The pool is empty if
// no release of the service is live. With weights it is the pool that this
// one query was led to. Ask tries twice, by UDP and then by TCP, each for two
// seconds at most.
//
// One reply proves both: for the type SOA, the name gives its CNAME and, as
// the pool's name has no such record, the zone's SOA with it (RFC 2308
// section 2.2). Two queries could meet two different views.
func Ask(ctx context.Context, server, name string) (pool string, serial uint32, err error) {
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(name), dns.TypeSOA)
	query.RecursionDesired = false
	var errs []error
	for _, network := range []string{udp, tcp} {
		reply, err := exchange(ctx, network, server, query)
		if err == nil {
			pool, serial, err = proof(reply, query.Question[0])
		}
		if err == nil {
			return pool, serial, nil
		}
		errs = append(errs, fmt.Errorf("by %s: %w", network, err))
		if ctx.Err() != nil {
			break
		}
	}
	return "", 0, fmt.Errorf("ask name server %s for %s: %w", server, name, errors.Join(errs...))
}

func exchange(ctx context.Context, network, server string, query *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	client := &dns.Client{Net: network}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // a query has nothing to lose
	// The library heeds the context's deadline, but not its cancellation.
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // as above
	defer stop()
	reply, _, err := client.ExchangeWithConnContext(ctx, query, conn)
	if ctx.Err() != nil && err != nil {
		return nil, context.Cause(ctx)
	}
	return reply, err
}

// proof reads the pool and the serial from a reply.
func proof(reply *dns.Msg, asked dns.Question) (pool string, serial uint32, err error) {
	switch {
	case !reply.Response, len(reply.Question) != 1, !strings.EqualFold(reply.Question[0].Name, asked.Name),
		reply.Question[0].Qtype != asked.Qtype:
		return "", 0, errors.New("the reply is not to the question")
	case reply.Truncated:
		return "", 0, errors.New("the reply is truncated")
	case reply.Rcode != dns.RcodeSuccess:
		return "", 0, fmt.Errorf("the reply is %s", rcodeName(reply.Rcode))
	case !reply.Authoritative:
		return "", 0, errors.New("the server is not authoritative for it")
	}
	var targets []string
	for _, rr := range reply.Answer {
		if cname, ok := rr.(*dns.CNAME); ok && strings.EqualFold(cname.Hdr.Name, asked.Name) {
			targets = append(targets, cname.Target)
		}
	}
	if len(targets) > 1 {
		return "", 0, fmt.Errorf("the name has %d CNAMEs", len(targets))
	}
	if len(targets) == 1 {
		if pool = poolOf(targets[0], asked.Name); pool == "" {
			return "", 0, fmt.Errorf("the name is a CNAME to %s, which is not one of its pools", targets[0])
		}
	}
	for _, rr := range reply.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return pool, soa.Serial, nil
		}
	}
	return "", 0, errors.New("the reply has no SOA")
}

// poolOf returns the pool whose name the target of a service's CNAME is,
// empty if it is none.
func poolOf(target, name string) string {
	label, zone, _ := strings.Cut(dns.CanonicalName(name), ".")
	for _, pool := range []string{spec.Blue, spec.Green} {
		if dns.CanonicalName(target) == absolute(poolLabel(label, pool), zone) {
			return pool
		}
	}
	return ""
}
