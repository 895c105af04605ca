package dnsproof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxNameServers bounds how many name servers of a zone are looked at. No zone
// that works has as many: they would not fit into a referral.
const maxNameServers = 32

// NameServer is one of a zone's name servers.
type NameServer struct {
	Host string // lower case, without a final dot
	// Addrs are where it answers, ascending. Without any, nobody is led by it.
	Addrs []netip.AddrPort
	// Err tells why it is not known which addresses it has.
	Err error
}

// Directory knows where a zone's name servers answer. The zero value is ready
// to use.
type Directory struct {
	// Lookup finds the addresses of a host that is not in the zone; the
	// machine's own resolver if nil. A *net.DNSError with IsNotFound says that
	// the host has none.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Port is the one that name servers answer at; 53 if 0.
	Port uint16
}

// NameServers asks one authoritative name server of a zone, at host:port, for
// all of them, and returns them by name. The addresses of those that are named
// within the zone are asked of the same server.
func (d Directory) NameServers(ctx context.Context, server, zone string) ([]NameServer, error) {
	q := question{server: server, name: zone, authoritative: true}
	m, err := q.ask(ctx, dns.TypeNS)
	if err != nil {
		return nil, fmt.Errorf("ask %s for the name servers of %s: %w", server, zone, err)
	}
	var found []NameServer
	for _, rr := range m.Answer {
		if ns, ok := rr.(*dns.NS); ok && strings.EqualFold(ns.Hdr.Name, dns.Fqdn(zone)) && len(found) < maxNameServers {
			found = append(found, NameServer{Host: plain(ns.Ns)})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("ask %s for the name servers of %s: it has none", server, zone)
	}
	slices.SortFunc(found, func(a, b NameServer) int { return strings.Compare(a.Host, b.Host) })
	for i := range found {
		ns := &found[i]
		var addrs []netip.Addr
		if dns.IsSubDomain(dns.Fqdn(zone), dns.Fqdn(ns.Host)) {
			addrs, ns.Err = inside(ctx, server, ns.Host, m.Extra)
		} else {
			addrs, ns.Err = d.outside(ctx, ns.Host)
		}
		for _, a := range addrs {
			ns.Addrs = append(ns.Addrs, netip.AddrPortFrom(a.Unmap(), cmp.Or(d.Port, 53)))
		}
		slices.SortFunc(ns.Addrs, netip.AddrPort.Compare)
		ns.Addrs = slices.Compact(ns.Addrs)
	}
	return found, nil
}

// inside finds the addresses of a host within the zone: those that came along,
// else the server is asked. The host may be in a part of the zone that is
// delegated; what then comes is glue, which nobody is authoritative for.
func inside(ctx context.Context, server, host string, extra []dns.RR) ([]netip.Addr, error) {
	var glue Reply
	glue.addresses(host, extra)
	if len(glue.Addrs) > 0 {
		return glue.Addrs, nil
	}
	q := question{server: server, name: host}
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m, err := q.ask(ctx, qtype)
		if rcode, ok := errors.AsType[rcodeError](err); ok && rcode == dns.RcodeNameError {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		glue.addresses(host, m.Answer)
		glue.addresses(host, m.Extra)
	}
	return glue.Addrs, nil
}

func (d Directory) outside(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	lookup := d.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", dns.Fqdn(host))
		}
	}
	addrs, err := lookup(ctx, host)
	if missing, ok := errors.AsType[*net.DNSError](err); ok && missing.IsNotFound {
		return nil, nil
	}
	return addrs, err
}

// addresses adds those of a host among some records.
func (r *Reply) addresses(host string, rrs []dns.RR) {
	for _, rr := range rrs {
		if plain(rr.Header().Name) != host {
			continue
		}
		switch rr := rr.(type) {
		case *dns.A:
			r.add(rr.A)
		case *dns.AAAA:
			r.add(rr.AAAA)
		}
	}
}
