package dnsflip

import (
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"switchd/dnssec"
	"switchd/zone"
)

// snapshot is everything that is answered from at one moment. It never
// changes, but for the answers that are kept in it.
type snapshot struct {
	view  *View // nil: the zones are none of Consul's, or nothing is known yet
	zones map[string]*served
	// only is the zone if there is one only, which needs no search.
	only *served
}

// newSnapshot returns the snapshot that answers from these zones.
func newSnapshot(view *View, zones ...*served) *snapshot {
	s := &snapshot{view: view, zones: make(map[string]*served, len(zones))}
	for _, z := range zones {
		s.zones[string(z.zone.Origin())] = z
	}
	if len(zones) == 1 {
		s.only = zones[0]
	}
	return s
}

// find returns the zone that answers for a name, the nearest of several, nil
// if there is none. name is in canonical wire form. A delegation's DS records
// are the parent's, RFC 4035 section 3.1.4.1.
func (s *snapshot) find(name []byte, qtype uint16) *served {
	z := s.nearest(name)
	if z == nil || s.only != nil || qtype != dns.TypeDS || len(name) != len(z.zone.Origin()) || name[0] == 0 {
		return z
	}
	if parent := s.nearest(name[1+name[0]:]); parent != nil {
		return parent
	}
	return z
}

func (s *snapshot) nearest(name []byte) *served {
	if s.only != nil {
		if below(name, s.only.zone.Origin()) {
			return s.only
		}
		return nil
	}
	for {
		if z := s.zones[string(name)]; z != nil {
			return z
		}
		if name[0] == 0 {
			return nil
		}
		name = name[1+name[0]:]
	}
}

// below tells whether a name is a zone's origin or below it.
func below(name []byte, origin zone.Name) bool {
	for len(name) > len(origin) {
		name = name[1+name[0]:]
	}
	return string(name) == string(origin)
}

// served is a zone with what was derived from it. Answers that were packed
// carry the stamp of one of two times: the stable one's hold as long as the
// names of the zone stay and its own data do; the fresh one's are of this
// snapshot, because they were signed or lead through more than one flip.
type served struct {
	zone   *zone.Zone
	serial uint32
	signer *dnssec.Signer // nil: the zone isn't signed

	peers   peers
	history history

	stable, fresh uint64
	// negatives are the answers to whoever asks for what isn't there, by rcode:
	// they differ in the question only.
	negatives [2]atomic.Pointer[packed]
	// kept counts the bytes of the answers that are kept beside the nodes. It is
	// one for all versions that share them.
	kept *atomic.Int64
}

// maxKeptBytes bounds the memory of kept answers. What is above it is looked
// up each time.
const maxKeptBytes = 256 << 20

// keep keeps an answer beside a node, while there is room, or in place of one
// to the same question.
func (z *served) keep(n *zone.Node, asked question, p *packed) {
	if z.kept.Load() < maxKeptBytes || recall(n, asked) != nil {
		z.kept.Add(keep(n, asked, p, z.current))
	}
}

// sweep makes room, if there is little: it drops answers that don't hold any
// more, and counts anew, as the nodes of former flips are gone with theirs.
func (z *served) sweep() {
	before := z.kept.Load()
	if before < maxKeptBytes/2 {
		return
	}
	var size int64
	for n := range z.zone.Nodes() {
		size += prune(n, z.current)
	}
	z.kept.Add(size - before)
}

// current tells whether an answer still holds.
func (z *served) current(p *packed) bool { return p.stamp == z.stable || p.stamp == z.fresh }

// answer returns the answer to a question in the zone: one that was kept or
// else a new one.
func (z *served) answer(q *query, rnd func() uint64, now time.Time) (*packed, error) {
	name := q.name()
	asked := question{qtype: q.qtype, signed: q.do && z.signer != nil}
	asked.compact = asked.signed && q.co
	n := z.zone.Node(name)
	if n == nil {
		n, asked.below = z.zone.Encloser(name), true
	}
	drawn := none
	if len(n.Choices) > 1 && !asked.below {
		drawn, asked.choice = draw(n.Choices, rnd)
	}
	if p := recall(n, asked); p != nil && z.current(p) && (!asked.signed || p.span.Contains(now)) {
		return p, nil
	}
	return z.resolve(q, n, asked, drawn, rnd, now)
}

// draw takes one of the choices, each with the probability of its weight. It
// also gives the number that leads to it.
func draw(choices []zone.Choice, rnd func() uint64) (drawn int, choice uint8) {
	total := 0
	for i := range choices {
		total += choices[i].Weight
	}
	drawn = int(rnd() % uint64(max(total, 1)))
	left := drawn
	for i := range choices {
		if left -= choices[i].Weight; left < 0 {
			return drawn, uint8(i)
		}
	}
	return drawn, 0
}

// resolve looks the answer up and keeps it, if it is one that others can get.
func (z *served) resolve(q *query, n *zone.Node, asked question, drawn int, rnd func() uint64, now time.Time) (*packed, error) {
	name := zone.Name(q.name())
	result := z.zone.Lookup(name, q.qtype, func(total int) int {
		if drawn != none {
			first := drawn
			drawn = none
			return first
		}
		return int(rnd() % uint64(total))
	})
	stamp, span := z.fresh, dnssec.Span{}
	switch {
	case asked.signed:
		var err error
		if span, err = z.signer.Secure(z.zone, &result, dnssec.Question{Name: name, Type: q.qtype, CompactOK: q.co}, now); err != nil {
			return nil, err
		}
	case result.Shared:
		stamp = z.stable
	}
	if which, ok := negative(&result); ok {
		return z.negative(which, &result, n, asked, stamp)
	}
	behind, to := name, thisName
	if asked.below {
		to = anyName
		if len(result.Answer) == 0 {
			behind, to = n.Name, namesBelow
		}
	}
	keepable := !result.Random && usual(q.qtype)
	if asked.below && asked.signed {
		behind, to, keepable = name, thisName, false // the signature is one of this name
	}
	p, err := pack(&result, behind, to)
	if err == nil && to == namesBelow && len(p.body) > maxKept {
		// Its pointers might not reach behind a longer name.
		p, err = pack(&result, name, thisName)
	}
	if err != nil {
		return nil, err
	}
	p.stamp, p.span = stamp, span
	p.owner = n.Name
	if keepable && p.reusable {
		z.keep(n, asked, p)
	}
	return p, nil
}

// negative tells whether a result is nothing but "there is none", as it is
// for all such questions: with the SOA and without proof.
func negative(r *zone.Result) (which int, ok bool) {
	if len(r.Answer) > 0 || len(r.Additional) > 0 || len(r.Authority) != 1 || r.Authority[0].Header().Rrtype != dns.TypeSOA {
		return 0, false
	}
	switch r.Rcode {
	case dns.RcodeSuccess:
		return 0, true
	case dns.RcodeNameError:
		return 1, true
	default:
		return 0, false
	}
}

// negative gives all such questions of the zone one answer.
func (z *served) negative(which int, result *zone.Result, n *zone.Node, asked question, stamp uint64) (*packed, error) {
	p := z.negatives[which].Load()
	if p == nil {
		var err error
		if p, err = pack(result, z.zone.Origin(), namesBelow); err != nil {
			return nil, err
		}
		p.stamp = z.stable
		z.negatives[which].Store(p)
	}
	if usual(asked.qtype) && stamp == z.stable {
		z.keep(n, asked, p)
	}
	return p, nil
}
