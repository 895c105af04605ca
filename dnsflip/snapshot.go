package dnsflip

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"switchd/spec"
)

// What secondaries are told, RFC 1035 section 3.3.13. A flip reaches them by
// NOTIFY; the refresh is the bound for a lost one. The expiry follows the
// advice of RFC 1912 section 2.2.
const (
	soaRefresh = 5 * time.Minute
	soaRetry   = time.Minute
	soaExpire  = 14 * 24 * time.Hour
)

// snapshot is a view made ready to answer from. It never changes.
type snapshot struct {
	id     string // of this server; may be empty
	view   *View  // nil: nothing is known yet
	origin string // the zone's apex
	nodes  map[string]*node
}

// node is an existing name, by its canonical form. One without data is an
// empty non-terminal, RFC 4592 section 2.2.2, or a name that has no data yet.
type node struct {
	rrsets map[uint16][]dns.RR
	alias  *alias // if set, the name is a CNAME
}

// alias is a CNAME with one of several targets.
type alias struct {
	ttl     uint32
	targets []target
	total   int // of the targets' weights
}

type target struct {
	name   string
	weight int
}

// compile makes a snapshot of a valid view in its normal form.
func compile(v *View, id string) *snapshot {
	s := &snapshot{
		id:     id,
		view:   v,
		origin: dns.Fqdn(v.Zone.Name),
		nodes:  make(map[string]*node, 3*len(v.Flips)+1+len(v.Zone.NameServers)),
	}
	ttl := seconds(v.Zone.TTL)
	apex := s.node(s.origin)
	apex.add(soa(v, s.origin))
	for _, host := range v.Zone.NameServers {
		apex.add(&dns.NS{Hdr: header(dns.TypeNS, ttl), Ns: dns.Fqdn(host)})
		if inZone(host, v.Zone.Name) {
			s.node(dns.Fqdn(host)).addAddrs(v.NameServerAddrs[host], ttl)
		}
	}
	for label, f := range v.Flips {
		for _, pool := range []string{spec.Blue, spec.Green} {
			// Nodes leave and join a pool at any time, without a change of
			// the CNAME, so an address is not kept for longer than the
			// CNAME; the zone's TTL may ask for less.
			n := s.node(absolute(poolLabel(label, pool), v.Zone.Name))
			n.addAddrs(f.Pools[pool], min(ttl, seconds(f.TTL)))
		}
		s.node(absolute(label, v.Zone.Name)).alias = newAlias(label, v.Zone.Name, f)
	}
	return s
}

// node returns the node of a canonical name in the zone, and lets it and all
// names between it and the apex exist.
func (s *snapshot) node(name string) *node {
	n, ok := s.nodes[name]
	if !ok {
		n = &node{rrsets: map[uint16][]dns.RR{}}
		s.nodes[name] = n
		if name != s.origin {
			_, parent, _ := strings.Cut(name, ".")
			s.node(parent)
		}
	}
	return n
}

func (n *node) add(rr dns.RR) {
	n.rrsets[rr.Header().Rrtype] = append(n.rrsets[rr.Header().Rrtype], rr)
}

func (n *node) addAddrs(addrs []netip.Addr, ttl uint32) {
	for _, a := range addrs {
		if a.Is4() {
			n.add(&dns.A{Hdr: header(dns.TypeA, ttl), A: a.AsSlice()})
		} else {
			n.add(&dns.AAAA{Hdr: header(dns.TypeAAAA, ttl), AAAA: a.AsSlice()})
		}
	}
}

// newAlias returns the CNAME of a service, nil if no release of it is live.
func newAlias(label, zone string, f Flip) *alias {
	if f.Live == "" {
		return nil
	}
	weights := f.Weights
	if len(weights) == 0 {
		weights = map[string]int{f.Live: 100}
	}
	a := &alias{ttl: seconds(f.TTL)}
	for _, pool := range []string{spec.Blue, spec.Green} {
		other := spec.Other(pool)
		// A pool with a share but without any node yields to the other, if
		// that one has a share, too: a pool that is to get nothing stays
		// without users, whatever happens to its neighbour.
		yields := len(f.Pools[pool]) == 0 && len(f.Pools[other]) > 0 && weights[other] > 0
		if weights[pool] > 0 && !yields {
			a.targets = append(a.targets, target{absolute(poolLabel(label, pool), zone), weights[pool]})
			a.total += weights[pool]
		}
	}
	return a
}

// choose returns a target, each with the probability of its weight.
func (a *alias) choose(r *rand.Rand) string {
	n := 0
	if len(a.targets) > 1 {
		n = r.IntN(a.total)
	}
	for _, t := range a.targets[1:] {
		if n < t.weight {
			return t.name
		}
		n -= t.weight
	}
	return a.targets[0].name
}

func soa(v *View, origin string) *dns.SOA {
	rname, _ := mailbox(v.Zone.Admin) // the view is valid
	return &dns.SOA{
		Hdr:     dns.RR_Header{Name: origin, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: seconds(v.Zone.TTL)},
		Ns:      dns.Fqdn(v.Zone.NameServers[0]),
		Mbox:    rname,
		Serial:  v.Serial,
		Refresh: uint32(soaRefresh.Seconds()),
		Retry:   uint32(soaRetry.Seconds()),
		Expire:  uint32(soaExpire.Seconds()),
		Minttl:  seconds(v.Zone.NegativeTTL),
	}
}

// header leaves the owner's name out: an answer writes it as it was asked.
func header(rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

func seconds(d spec.Duration) uint32 { return uint32(d.Std() / time.Second) }
