package dnsflip

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"switchd/spec"
	"switchd/zone"
)

// What secondaries are told where the spec doesn't, RFC 1035 section 3.3.13. A
// flip reaches them by NOTIFY; the refresh is the bound for a lost one. The
// expiry follows the advice of RFC 1912 section 2.2.
const (
	soaRefresh = 5 * time.Minute
	soaRetry   = time.Minute
	soaExpire  = 14 * 24 * time.Hour
)

// builder makes zones of views. It keeps what it made, so that a flip costs
// no more than the names that it changes.
type builder struct {
	from  View // what the rest was made of
	base  *zone.Zone
	units map[string]unit
}

// unit is the part of a zone's overlay that changes at once: one flip with
// the names of its pools, or one of the two units below.
type unit struct {
	made  any // of what
	nodes []*zone.Node
}

// Units that aren't flips; no label of a flip contains a blank.
const (
	apexUnit    = " apex"
	serversUnit = " name servers"
)

// build makes the zone of a valid view in its normal form. keys are the
// records that a signed zone has at its apex. renewed tells that the zone has
// other data of its own or other names, so that nothing that was derived from
// the zone before may be used further.
func (b *builder) build(v *View, keys []dns.RR) (z *zone.Zone, renewed bool, err error) {
	next := builder{from: *v, base: b.base}
	last := b.units
	if b.base == nil || !sameBase(&b.from, v) {
		if next.base, err = base(v); err != nil {
			return nil, false, err
		}
		last, renewed = nil, true
	}
	units := make(map[string]unit, len(v.Flips)+2)
	renew := func(name string, of any, nodes func() ([]*zone.Node, error)) {
		if was, ok := last[name]; ok && same(was.made, of) {
			units[name] = was
			return
		}
		made, problem := nodes()
		if problem != nil {
			err = cmp.Or(err, problem)
		}
		for _, n := range made {
			n.Unit = name
		}
		units[name] = unit{of, made}
		renewed = renewed || !slices.EqualFunc(last[name].nodes, made, func(a, b *zone.Node) bool { return a.Name == b.Name })
	}
	for label, f := range v.Flips {
		if label != Apex {
			renew(label, f, func() ([]*zone.Node, error) { return flipNodes(v, label, f) })
		}
	}
	apex, flipped := v.Flips[Apex]
	servers := v.NameServerAddrs[v.Zone.Name]
	if flipped || len(keys) > 0 || len(servers) > 0 {
		of := []any{apex, keys, servers}
		renew(apexUnit, of, func() ([]*zone.Node, error) { return next.apexNodes(v, apex, flipped, keys) })
	}
	renew(serversUnit, v.NameServerAddrs, func() ([]*zone.Node, error) { return next.serverNodes(v) })
	if err != nil {
		return nil, false, err
	}
	var overlay []*zone.Node
	for _, u := range units {
		overlay = append(overlay, u.nodes...)
	}
	renewed = renewed || len(units) != len(last)
	if z, err = next.base.With(v.Serial, overlay); err != nil {
		return nil, false, err
	}
	next.units = units
	*b = next
	return z, renewed, nil
}

// same tells whether a unit would be made of the same as before.
func same(a, b any) bool {
	f, isFlip := a.(Flip)
	g, both := b.(Flip)
	if isFlip && both {
		return f.equal(g)
	}
	return reflect.DeepEqual(a, b)
}

// sameBase tells whether two views have one zone but for flips, serial, the
// addresses of name servers, and what isn't answered.
func sameBase(a, b *View) bool {
	data := func(z spec.Zone) spec.Zone {
		z.Secondaries, z.Transfer, z.VerifyResolvers, z.DNSSEC = nil, nil, nil, false
		return z
	}
	return reflect.DeepEqual(data(a.Zone), data(b.Zone)) && bytes.Equal(a.ZoneFile, b.ZoneFile)
}

// base makes the zone that flips are laid over: what its file says, and what
// the spec says where the file doesn't.
func base(v *View) (*zone.Zone, error) {
	origin, err := zone.ParseName(v.Zone.Name)
	if err != nil {
		return nil, err
	}
	file := v.Zone.Name
	if v.Zone.File != nil {
		file = v.Zone.File.Name
	}
	records, err := zone.Read(bytes.NewReader(v.ZoneFile), origin, file)
	if err != nil {
		return nil, err
	}
	has := func(rrtype uint16) bool {
		return slices.ContainsFunc(records, func(r zone.Record) bool {
			h := r.RR.Header()
			return h.Rrtype == rrtype && dns.CanonicalName(h.Name) == origin.String()
		})
	}
	if !has(dns.TypeSOA) {
		records = append(records, zone.Record{RR: soa(v)})
	}
	if !has(dns.TypeNS) {
		for _, host := range v.Zone.NameServers {
			records = append(records, zone.Record{RR: &dns.NS{
				Hdr: header(origin.String(), dns.TypeNS, seconds(v.Zone.TTL)), Ns: dns.Fqdn(host),
			}})
		}
	}
	return zone.New(origin, records)
}

func soa(v *View) *dns.SOA {
	rname, _ := mailbox(v.Zone.Admin) // the view is valid
	mname := "."
	if len(v.Zone.NameServers) > 0 {
		mname = dns.Fqdn(v.Zone.NameServers[0])
	}
	return &dns.SOA{
		Hdr: header(dns.Fqdn(v.Zone.Name), dns.TypeSOA, seconds(v.Zone.TTL)),
		Ns:  mname, Mbox: rname, Serial: v.Serial,
		Refresh: cmp.Or(seconds(v.Zone.Refresh), uint32(soaRefresh.Seconds())),
		Retry:   cmp.Or(seconds(v.Zone.Retry), uint32(soaRetry.Seconds())),
		Expire:  cmp.Or(seconds(v.Zone.Expire), uint32(soaExpire.Seconds())),
		Minttl:  seconds(v.Zone.NegativeTTL),
	}
}

// flipNodes are the names of one flip: the service's, led to its pools by
// weight, and those of the pools.
func flipNodes(v *View, label string, f Flip) ([]*zone.Node, error) {
	nodes, err := poolNodes(v, label, f)
	if err != nil {
		return nil, err
	}
	name, err := zone.ParseName(label + "." + v.Zone.Name)
	if err != nil {
		return nil, err
	}
	n := &zone.Node{Name: name}
	setChoices(n, f.shares(), func(pool string) []zone.Set {
		return []zone.Set{{Type: dns.TypeCNAME, RRs: []dns.RR{&dns.CNAME{
			Hdr: header(name.String(), dns.TypeCNAME, seconds(f.TTL)), Target: f.target(label, v.Zone.Name, pool),
		}}}}
	})
	return append(nodes, n), nil
}

// apexNodes are the zone's own name, where no CNAME may stand: what the zone
// has there, the keys, and the addresses of a flip's pools with an alias for
// clients that know HTTPS records (RFC 9460 section 2.4.2).
func (b *builder) apexNodes(v *View, f Flip, flipped bool, keys []dns.RR) ([]*zone.Node, error) {
	origin := b.base.Origin()
	n := &zone.Node{Name: origin, Sets: withKeys(b.base.Node([]byte(origin)).Sets, keys)}
	if !flipped {
		b.addServer(n, v)
		return []*zone.Node{n}, nil
	}
	for _, t := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS} {
		if n.Set(t) != nil {
			return nil, fmt.Errorf("service %q is switched at the zone's apex, where the zone file has %s records (%s): remove one of the two",
				f.Service, dns.TypeToString[t], b.base.Place(origin))
		}
	}
	ttl := seconds(f.TTL)
	setChoices(n, f.shares(), func(pool string) []zone.Set {
		alias := &dns.HTTPS{SVCB: dns.SVCB{Hdr: header(origin.String(), dns.TypeHTTPS, ttl), Target: f.target(Apex, v.Zone.Name, pool)}}
		return append(addressSets(origin.String(), f.Pools[pool], ttl), zone.Set{Type: dns.TypeHTTPS, RRs: []dns.RR{alias}})
	})
	nodes, err := poolNodes(v, Apex, f)
	return append(nodes, n), err
}

// withKeys returns the sets of an apex with the keys of the zone, if it has any.
func withKeys(sets []zone.Set, keys []dns.RR) []zone.Set {
	sets = slices.Clone(sets)
	if len(keys) > 0 {
		sets = append(sets, zone.Set{Type: dns.TypeDNSKEY, RRs: keys})
		slices.SortFunc(sets, byType)
	}
	return sets
}

// poolNodes are the names of both pools, which always exist, with the
// addresses of their passing nodes, and below them one name an address as the
// targets of the SRV records.
func poolNodes(v *View, label string, f Flip) ([]*zone.Node, error) {
	// Nodes leave and join a pool at any time, without a change of the CNAME,
	// so an address is not kept for longer than the CNAME; the zone's TTL may
	// ask for less.
	ttl := min(seconds(v.Zone.TTL), seconds(f.TTL))
	var nodes []*zone.Node
	for _, pool := range []string{spec.Blue, spec.Green} {
		name, err := zone.ParseName(f.poolName(label, v.Zone.Name, pool))
		if err != nil {
			return nil, err
		}
		owner := name.String()
		n := &zone.Node{Name: name, Sets: addressSets(owner, f.Pools[pool], ttl)}
		var servers []dns.RR
		for _, addr := range f.Pools[pool] {
			if f.Port == 0 {
				break
			}
			host := addressLabel(addr) + "." + owner
			target, err := zone.ParseName(host)
			if err != nil {
				return nil, err
			}
			servers = append(servers, &dns.SRV{Hdr: header(owner, dns.TypeSRV, ttl), Port: f.Port, Target: host})
			nodes = append(nodes, &zone.Node{Name: target, Sets: addressSets(host, []netip.Addr{addr}, ttl)})
		}
		if len(servers) > 0 {
			n.Sets = append(n.Sets, zone.Set{Type: dns.TypeSRV, RRs: servers})
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// serverNodes are the zone's name servers that are in the zone, if
// its file doesn't have their addresses.
func (b *builder) serverNodes(v *View) ([]*zone.Node, error) {
	var nodes []*zone.Node
	for _, host := range slices.Sorted(maps.Keys(v.NameServerAddrs)) {
		name, err := zone.ParseName(host)
		if err != nil {
			return nil, err
		}
		if name == b.base.Origin() {
			continue // apexNodes has it
		}
		n := &zone.Node{Name: name}
		if own := b.base.Node([]byte(name)); own != nil {
			n.Sets = slices.Clone(own.Sets)
		}
		if b.addServer(n, v) {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

// addServer gives a name server's node its addresses, if the zone's file has
// none.
func (b *builder) addServer(n *zone.Node, v *View) bool {
	addrs := v.NameServerAddrs[plain(n.Name.String())]
	if len(addrs) == 0 || n.Set(dns.TypeA) != nil || n.Set(dns.TypeAAAA) != nil || n.Set(dns.TypeCNAME) != nil {
		return false
	}
	n.Sets = append(n.Sets, addressSets(n.Name.String(), addrs, seconds(v.Zone.TTL))...)
	slices.SortFunc(n.Sets, byType)
	return true
}

// setChoices gives a node the answers of the pools that have a share.
func setChoices(n *zone.Node, shares []share, sets func(pool string) []zone.Set) {
	if len(shares) == 1 {
		n.Sets = append(n.Sets, sets(shares[0].pool)...)
		slices.SortFunc(n.Sets, byType)
		return
	}
	for _, s := range shares {
		n.Choices = append(n.Choices, zone.Choice{Weight: s.weight, Sets: sets(s.pool)})
	}
}

func byType(a, b zone.Set) int { return cmp.Compare(a.Type, b.Type) }

// share is how many of a hundred answers lead to a pool.
type share struct {
	pool   string
	weight int
}

// shares are those of the pools that are led to at all, the largest first,
// which is what secondaries get, who can't weigh; none if no release is live.
func (f *Flip) shares() []share {
	if f.Live == "" {
		return nil
	}
	weights := f.Weights
	if len(weights) == 0 {
		weights = map[string]int{f.Live: 100}
	}
	var shares []share
	for _, pool := range []string{spec.Blue, spec.Green} {
		other := spec.Other(pool)
		// A pool with a share but without any node yields to the other, if
		// that one has a share, too: a pool that is to get nothing stays
		// without users, whatever happens to its neighbour.
		yields := len(f.Targets) == 0 && len(f.Pools[pool]) == 0 && len(f.Pools[other]) > 0 && weights[other] > 0
		if weights[pool] > 0 && !yields {
			shares = append(shares, share{pool, weights[pool]})
		}
	}
	slices.SortStableFunc(shares, func(a, b share) int { return cmp.Compare(b.weight, a.weight) })
	return shares
}

// target is the name that users of the flip are led to.
func (f *Flip) target(label, zone, pool string) string {
	if host, ok := f.Targets[pool]; ok {
		return dns.Fqdn(host)
	}
	return dns.Fqdn(f.poolName(label, zone, pool))
}

// poolName is the name of a pool, without a final dot.
func (f *Flip) poolName(label, zone, pool string) string {
	return poolLabel(cmp.Or(f.PoolName, label), pool) + "." + zone
}

// addressLabel is a label that says an address: 192-0-2-1, 2001-db8--1.
func addressLabel(addr netip.Addr) string {
	label := strings.NewReplacer(".", "-", ":", "-").Replace(addr.String())
	if strings.HasPrefix(label, "-") { // ::1 and its like: a label of a host begins with a letter or digit
		label = "0" + label
	}
	if strings.HasSuffix(label, "-") {
		label += "0"
	}
	return label
}

// addressSets are the A and AAAA records of a name.
func addressSets(owner string, addrs []netip.Addr, ttl uint32) []zone.Set {
	var a, aaaa []dns.RR
	for _, addr := range addrs {
		if addr.Is4() {
			a = append(a, &dns.A{Hdr: header(owner, dns.TypeA, ttl), A: addr.AsSlice()})
		} else {
			aaaa = append(aaaa, &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, ttl), AAAA: addr.AsSlice()})
		}
	}
	var sets []zone.Set
	if len(a) > 0 {
		sets = append(sets, zone.Set{Type: dns.TypeA, RRs: a})
	}
	if len(aaaa) > 0 {
		sets = append(sets, zone.Set{Type: dns.TypeAAAA, RRs: aaaa})
	}
	return sets
}

func header(owner string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

func seconds(d spec.Duration) uint32 { return uint32(d.Std() / time.Second) }
