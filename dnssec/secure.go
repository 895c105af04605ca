package dnssec

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"switchd/zone"
)

// Question is what a client asks.
type Question struct {
	Name zone.Name
	Type uint16
	// CompactOK is the flag CO (RFC 9824 section 5.1): the client takes
	// NXDOMAIN together with a compact denial.
	CompactOK bool
}

// Secure makes the zone's answer to a question one that can be validated: a
// signature after each authoritative RRset (RFC 4035 section 3.1.1), and the
// proof of what is not there (RFC 9824). It is for clients that set DO. The
// records that it adds are new ones; those of the zone stay as they are.
// Optional additional records are left out: without signatures, which need
// much room, they would be of no use to a client that validates.
//
// The result holds for any moment in the span; later there are other
// signatures. The error is ErrBusy if too many are wanted, and then the result
// must not be used.
func (s *Signer) Secure(z *zone.Zone, r *zone.Result, q Question, now time.Time) (Span, error) {
	a := answer{signer: s, zone: z, soa: z.SOA(), question: q, now: now}
	var err error
	if r.Answer, err = a.answers(r.Answer); err != nil {
		return Span{}, err
	}
	if r.Authority, err = a.authority(r.Authority, r.Cut); err != nil {
		return Span{}, err
	}
	if d := r.Denied; d != nil {
		if err := a.deny(r, d); err != nil {
			return Span{}, err
		}
	}
	if r.Optional {
		r.Additional, r.Optional = nil, false
	}
	return a.span, nil
}

// answer is one that is being signed.
type answer struct {
	signer   *Signer
	zone     *zone.Zone
	soa      *dns.SOA
	question Question
	now      time.Time
	span     Span
}

// sign appends an RRset and its signatures.
func (a *answer) sign(section, set []dns.RR, ttl uint32) ([]dns.RR, error) {
	owner, err := zone.ParseName(set[0].Header().Name)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	exists := a.zone.Node([]byte(owner)) != nil
	rrsigs, span, err := a.signer.sign(owner, set, ttl, !exists, a.now)
	if err != nil {
		return nil, err
	}
	a.span = a.span.intersect(span)
	return append(append(section, set...), rrsigs...), nil
}

func (a *answer) answers(section []dns.RR) ([]dns.RR, error) {
	signed := make([]dns.RR, 0, 2*len(section))
	var dnames []zone.Name
	for set := range sets(section) {
		head := set[0].Header()
		owner, err := zone.ParseName(head.Name)
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		// What a DNAME gives is proven by the DNAME (RFC 6672 section 5.3.1).
		synthesized := slices.ContainsFunc(dnames, func(n zone.Name) bool { return owner != n && owner.Under(n) })
		if synthesized || head.Rrtype == dns.TypeRRSIG {
			signed = append(signed, set...)
			continue
		}
		if head.Rrtype == dns.TypeDNAME {
			dnames = append(dnames, owner)
		}
		if signed, err = a.sign(signed, set, head.Ttl); err != nil {
			return nil, err
		}
	}
	return signed, nil
}

// authority signs what is the zone's own: not the name servers of a delegation,
// but the keys that it has there.
func (a *answer) authority(section []dns.RR, cut *zone.Node) ([]dns.RR, error) {
	signed := make([]dns.RR, 0, 2*len(section)+2)
	var err error
	for set := range sets(section) {
		head := set[0].Header()
		ttl := head.Ttl
		switch {
		case head.Rrtype == dns.TypeNS && cut != nil:
			signed = append(signed, set...)
			continue
		case head.Rrtype == dns.TypeDS && cut != nil: // added below
			continue
		case head.Rrtype == dns.TypeSOA:
			ttl = a.soa.Hdr.Ttl
		}
		if signed, err = a.sign(signed, set, ttl); err != nil {
			return nil, err
		}
	}
	if cut == nil {
		return signed, nil
	}
	if ds := cut.Set(dns.TypeDS); ds != nil {
		return a.sign(signed, ds, ds[0].Header().Ttl)
	}
	return signed, nil
}

// sets returns the RRsets of a section, whose records follow each other.
func sets(section []dns.RR) iter.Seq[[]dns.RR] {
	return func(yield func([]dns.RR) bool) {
		for len(section) > 0 {
			n := 1
			for n < len(section) && sameSet(section[0].Header(), section[n].Header()) {
				n++
			}
			if !yield(slices.Clip(section[:n])) {
				return
			}
			section = section[n:]
		}
	}
}

func sameSet(a, b *dns.RR_Header) bool {
	return a.Rrtype == b.Rrtype && a.Class == b.Class && strings.EqualFold(a.Name, b.Name)
}
