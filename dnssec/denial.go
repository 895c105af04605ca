package dnssec

import (
	"slices"
	"strings"

	"github.com/miekg/dns"

	"switchd/zone"
)

// deny adds the proof that there is no such name or type. One record does:
// it says which types there are at the name, and that no other name follows
// up to the next possible one (RFC 9824 section 3).
func (a *answer) deny(r *zone.Result, d *zone.Denial) error {
	var err error
	nsec := []dns.RR{a.nsec(d)}
	ttl := nsec[0].Header().Ttl
	switch q := a.question.Type; {
	case d.Kind == zone.NoDS: // the rest of the referral is there
	case q == dns.TypeNSEC:
		// The proof itself is asked for.
		r.Rcode, r.Authority = dns.RcodeSuccess, nil
		r.Answer, err = a.sign(r.Answer, nsec, ttl)
		return err
	case q == dns.TypeRRSIG:
		// A name has as many signatures as RRsets. One of them has to do, as it
		// does for ANY (RFC 8482 section 4.1).
		r.Rcode, r.Authority = dns.RcodeSuccess, nil
		proof, err := a.sign(nil, nsec, ttl)
		if err != nil {
			return err
		}
		r.Answer = append(r.Answer, proof[len(nsec):]...)
		return nil
	case d.Kind == zone.NoName && !a.question.CompactOK:
		r.Rcode = dns.RcodeSuccess // as the proof says; NXNAME tells who knows it
	}
	r.Authority, err = a.sign(r.Authority, nsec, ttl)
	return err
}

// negativeTTL is for how long what is not there is not there (RFC 2308 section
// 5), and the TTL of its proof (RFC 9077).
func (a *answer) negativeTTL() uint32 { return min(a.soa.Hdr.Ttl, a.soa.Minttl) }

// nsec makes the proof.
func (a *answer) nsec(d *zone.Denial) *dns.NSEC {
	types := []uint16{dns.TypeRRSIG, dns.TypeNSEC}
	switch {
	case d.Kind == zone.NoName:
		types = append(types, dns.TypeNXNAME)
	case d.Name != a.signer.origin && slices.Contains(d.Types, dns.TypeNS):
		// Of a delegation, only what the parent has (RFC 4035 section 2.3).
		for _, t := range d.Types {
			if t == dns.TypeNS || t == dns.TypeDS {
				types = append(types, t)
			}
		}
	default:
		types = append(types, d.Types...)
		if d.Name == a.signer.origin {
			types = append(types, dns.TypeDNSKEY)
		}
	}
	slices.Sort(types)
	types = slices.Compact(types)
	if d.Kind != zone.NoName && a.question.Type != dns.TypeNSEC && a.question.Type != dns.TypeRRSIG {
		// Whatever chance has chosen to answer with, the proof agrees.
		denied := a.question.Type
		if d.Kind == zone.NoDS {
			denied = dns.TypeDS
		}
		types = slices.DeleteFunc(types, func(t uint16) bool { return t == denied })
	}
	return &dns.NSEC{
		Hdr: dns.RR_Header{
			Name: d.Name.String(), Rrtype: dns.TypeNSEC, Class: dns.ClassINET,
			Ttl: a.negativeTTL(),
		},
		NextDomain: successor(d.Name, a.signer.origin).String(), TypeBitMap: types,
	}
}

// successor returns the name of a zone that comes right after another one in
// canonical order, the origin after the last one: RFC 4471 section 3.1.2.
func successor(name, origin zone.Name) zone.Name {
	const maxLabel = 63
	if len(name)+2 <= maxName {
		return "\x01\x00" + name
	}
	for ; name != origin; name = name.Parent() {
		label, parent := string(name[1:1+int(name[0])]), name.Parent()
		if len(label) < maxLabel && len(name) < maxName {
			return labelled(label+"\x00", parent)
		}
		for strings.HasSuffix(label, "\xff") {
			label = label[:len(label)-1]
		}
		if label == "" {
			continue
		}
		last := label[len(label)-1] + 1
		if last == 'A' { // names are in lower case
			last = 'Z' + 1
		}
		return labelled(label[:len(label)-1]+string([]byte{last}), parent)
	}
	return origin
}

func labelled(label string, parent zone.Name) zone.Name {
	return zone.Name([]byte{byte(len(label))}) + zone.Name(label) + parent
}
