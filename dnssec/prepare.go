package dnssec

import (
	"slices"
	"time"

	"github.com/miekg/dns"

	"switchd/zone"
)

// Prepare signs what will be answered from nodes of a zone and from its apex:
// called before the zone is published, it lets no client wait for a signature,
// and a flip is one publish. A node that was prepared the last time is skipped,
// so that all nodes of an overlay can be given each time.
func (s *Signer) Prepare(z *zone.Zone, nodes []*zone.Node, now time.Time) error {
	s.preparing.Lock()
	defer s.preparing.Unlock()
	a := answer{signer: s, zone: z, soa: z.SOA(), now: now}
	if ttl := a.negativeTTL(); ttl != s.preparedTTL { // which the proofs have
		s.prepared, s.preparedTTL = nil, ttl
	}
	nodes = append(slices.Clip(nodes), z.Node([]byte(z.Origin())))
	s.kept.reserve(setsPerNode * len(nodes))
	prepared := make(map[*zone.Node]Span, len(nodes))
	for _, n := range nodes {
		span, known := s.prepared[n]
		if !known || !span.Contains(now) {
			a.span = Span{}
			if err := a.prepare(n); err != nil {
				return err
			}
			span = a.span
		}
		prepared[n] = span
	}
	s.prepared = prepared
	return nil
}

// setsPerNode is how many RRsets a node has at most, as a rule, and the proof
// of what it hasn't.
const setsPerNode = 4

// prepare signs the sets of a node, and the proof of all it hasn't.
func (a *answer) prepare(n *zone.Node) error {
	choices := n.Choices
	if len(choices) == 0 {
		choices = []zone.Choice{{}}
	}
	for _, choice := range choices {
		var types []uint16
		for _, set := range slices.Concat(n.Sets, choice.Sets) {
			types = append(types, set.Type)
			if _, err := a.sign(nil, set.RRs, set.RRs[0].Header().Ttl); err != nil {
				return err
			}
		}
		if slices.Contains(types, dns.TypeCNAME) {
			continue // it answers every question
		}
		nsec := a.nsec(&zone.Denial{Kind: zone.NoData, Name: n.Name, Types: types})
		if _, err := a.sign(nil, []dns.RR{nsec}, nsec.Hdr.Ttl); err != nil {
			return err
		}
	}
	return nil
}
