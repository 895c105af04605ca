package spec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"switchd/zone"
)

// MaxZoneFile bounds the text of a zone file, in bytes.
const MaxZoneFile = 16 << 20

// zoneFile is what a zone's master file says; empty without one.
type zoneFile struct {
	text []byte
	zone *zone.Zone
}

// read reads the zone's master file and makes text and zone agree: what one
// says of the SOA and of the name servers and the other doesn't is taken over.
func (z *Zone) read(fsys fs.FS, at scope) zoneFile {
	if z == nil || z.File == nil {
		return zoneFile{}
	}
	wrong := func(err error) zoneFile {
		at.wrong("file", "Can't use the zone file", "%v.", err)
		return zoneFile{}
	}
	text, err := readBounded(fsys, z.File.Name, MaxZoneFile)
	if err != nil {
		return wrong(fmt.Errorf("read %s: %w", z.File.Name, err))
	}
	origin, err := zone.ParseName(z.Name)
	if err != nil {
		return wrong(err)
	}
	records, err := zone.Read(bytes.NewReader(text), origin, z.File.Name)
	if err != nil {
		return wrong(err)
	}
	soa, ns := has(records, origin, dns.TypeSOA), has(records, origin, dns.TypeNS)
	if !ns && len(z.NameServers) == 0 {
		at.wrong("file", "Missing zone.name_servers", "The zone file %s has no NS records of %s. Add them, or set name_servers here.", z.File.Name, z.Name)
		return zoneFile{}
	}
	if !soa {
		records = append(records, zone.Record{RR: z.soa()})
	}
	if !ns {
		for _, host := range z.NameServers {
			records = append(records, zone.Record{RR: &dns.NS{Hdr: z.header(dns.TypeNS), Ns: dns.Fqdn(host)}})
		}
	}
	parsed, err := zone.New(origin, records)
	if err != nil {
		return wrong(err)
	}
	if ns {
		z.takeNS(parsed, at)
	}
	if soa {
		z.takeSOA(parsed, at)
	}
	sum := sha256.Sum256(text)
	z.File.SHA256 = hex.EncodeToString(sum[:])
	return zoneFile{text, parsed}
}

// has tells whether there are records of a type at the apex.
func has(records []zone.Record, origin zone.Name, rrtype uint16) bool {
	return slices.ContainsFunc(records, func(r zone.Record) bool {
		h := r.RR.Header()
		return h.Rrtype == rrtype && strings.EqualFold(h.Name, origin.String())
	})
}

// soa is what a file without one has: its own data can only be checked as a
// whole zone.
func (z *Zone) soa() *dns.SOA {
	primary := "."
	if len(z.NameServers) > 0 {
		primary = dns.Fqdn(z.NameServers[0])
	}
	return &dns.SOA{
		Hdr: z.header(dns.TypeSOA), Ns: primary, Mbox: mailbox(z.Admin), Serial: 1,
		Refresh: whole32(z.Refresh), Retry: whole32(z.Retry), Expire: whole32(z.Expire), Minttl: whole32(z.NegativeTTL),
	}
}

func (z *Zone) header(rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: dns.Fqdn(z.Name), Rrtype: rrtype, Class: dns.ClassINET, Ttl: whole32(z.TTL)}
}

func whole32(d Duration) uint32 { return uint32(d.Std() / time.Second) }

// takeNS makes the zone's name servers those of the file.
func (z *Zone) takeNS(file *zone.Zone, at scope) {
	primary := plain(file.SOA().Ns)
	var hosts []string
	for _, rr := range file.Node([]byte(file.Origin())).Set(dns.TypeNS) {
		if ns, ok := rr.(*dns.NS); ok {
			hosts = append(hosts, plain(ns.Ns))
		}
	}
	slices.Sort(hosts)
	if i := slices.Index(hosts, primary); i > 0 {
		hosts = slices.Insert(slices.Delete(hosts, i, i+1), 0, primary)
	}
	given := slices.Sorted(slices.Values(z.NameServers))
	if len(given) > 0 && !slices.Equal(given, slices.Sorted(slices.Values(hosts))) {
		z.differs(at, file, "name_servers", quoted(z.NameServers), quoted(hosts))
		return
	}
	z.NameServers = hosts
}

// takeSOA makes the zone's SOA fields those of the file.
func (z *Zone) takeSOA(file *zone.Zone, at scope) {
	soa := file.SOA()
	for _, field := range []struct {
		name string
		to   *Duration
		is   uint32
	}{
		{"refresh", &z.Refresh, soa.Refresh},
		{"retry", &z.Retry, soa.Retry},
		{"expire", &z.Expire, soa.Expire},
		{"negative_ttl", &z.NegativeTTL, soa.Minttl},
	} {
		is := Duration(time.Duration(field.is) * time.Second)
		if at.set(field.name) && *field.to != is {
			z.differs(at, file, field.name, field.to.String(), is.String())
			continue
		}
		*field.to = is
	}
	switch {
	case !at.set("admin"):
		if admin, ok := address(soa.Mbox); ok {
			z.Admin = admin
		}
	case !strings.EqualFold(mailbox(z.Admin), soa.Mbox):
		z.differs(at, file, "admin", mailbox(z.Admin), soa.Mbox)
	}
}

func (z *Zone) differs(at scope, file *zone.Zone, name, here, there string) {
	at.wrong(name, "The zone file says otherwise", "%s is %s here, but %s in the zone file (%s). Leave it out here, or make the two agree.",
		name, here, there, file.Place(file.Origin()))
}
