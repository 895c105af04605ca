// Package dnsupdate keeps a CNAME in somebody's own zone as it is to be, by
// dynamic updates of the zone's primary (RFC 2136) that are signed (RFC 8945).
// It replaces nothing but what it was told is its own.
package dnsupdate

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Record is a CNAME as it is to be.
type Record struct {
	Name   string // full name, within the zone
	Target string // full name that it leads to
	TTL    time.Duration
	// Own are the targets that may be replaced. A name that holds anything
	// else is somebody else's.
	Own []string
}

// held is what a name holds. The zero value is no CNAME.
type held struct {
	cname *dns.CNAME
}

func (h held) target() string {
	if h.cname == nil {
		return ""
	}
	return plain(h.cname.Target)
}

// owns tells whether the name leads to one of the record's own targets.
func (r Record) owns(h held) bool {
	return h.cname != nil && slices.ContainsFunc(append([]string{r.Target}, r.Own...), func(own string) bool {
		return plain(own) == h.target()
	})
}

// is tells whether the name holds exactly the record.
func (r Record) is(h held) bool {
	return h.cname != nil && h.target() == plain(r.Target) && h.cname.Hdr.Ttl == r.seconds()
}

func (r Record) seconds() uint32 { return uint32(r.TTL / time.Second) } //nolint:gosec // check has bounded it

// check finds what no server should be asked for.
func (r Record) check(zone string) error {
	for _, name := range []string{zone, r.Name, r.Target} {
		if _, ok := dns.IsDomainName(name); !ok || plain(name) == "" {
			return fmt.Errorf("%q is not a domain name", name)
		}
	}
	switch {
	case plain(r.Name) == plain(zone):
		return fmt.Errorf("%s is the zone itself, which can't be a CNAME (RFC 1034 section 3.6.2)", plain(zone))
	case !dns.IsSubDomain(dns.Fqdn(zone), dns.Fqdn(r.Name)):
		return fmt.Errorf("%s is not a name of the zone %s", plain(r.Name), plain(zone))
	case r.TTL < 0 || r.TTL/time.Second > math.MaxInt32: // RFC 2181 section 8
		return fmt.Errorf("TTL %s can't be written", r.TTL)
	}
	return nil
}

// update makes the message that turns what the name holds into the record,
// held to the name still holding exactly that (RFC 2136 section 2.4.2) or, if
// it is none of the record's own, nothing at all (section 2.4.5).
func (r Record) update(zone string, now held) *dns.Msg {
	m := new(dns.Msg)
	m.SetUpdate(dns.Fqdn(zone))
	cname := &dns.CNAME{
		Hdr:    dns.RR_Header{Name: dns.Fqdn(r.Name), Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: r.seconds()},
		Target: dns.Fqdn(r.Target),
	}
	if !r.owns(now) {
		m.NameNotUsed([]dns.RR{cname})
		m.Insert([]dns.RR{cname})
		return m
	}
	before := &dns.CNAME{Hdr: cname.Hdr, Target: now.cname.Target}
	m.Used([]dns.RR{before})
	m.RemoveRRset([]dns.RR{cname})
	m.Insert([]dns.RR{cname})
	return m
}

// plain writes a name in lower case and without a final dot.
func plain(name string) string {
	return strings.TrimSuffix(dns.CanonicalName(name), ".")
}

// words is what a name holds, for people.
func words(target string, types []string) string {
	switch {
	case target != "":
		return "a CNAME to " + target
	case len(types) == 0:
		return "records of other types"
	default:
		return "records of type " + strings.Join(types, ", ")
	}
}
