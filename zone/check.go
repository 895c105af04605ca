package zone

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// maxMessages bounds the faults and the warnings of a zone that are told one
// by one.
const maxMessages = 20

// messages is a bounded list of them.
type messages struct {
	told []string
	more int
}

func (m *messages) add(text string) {
	if len(m.told) == maxMessages {
		m.more++
		return
	}
	m.told = append(m.told, text)
}

// list returns the messages, and how many there are besides.
func (m *messages) list() []string {
	if m.more == 0 {
		return m.told
	}
	return append(m.told, fmt.Sprintf("and %d more", m.more))
}

func (m *messages) err() error {
	var all []error
	for _, text := range m.list() {
		all = append(all, errors.New(text))
	}
	return errors.Join(all...)
}

// fault notes what keeps the zone from being served.
func (b *builder) fault(r Record, format string, args ...any) {
	b.faults.add(at(r.File, r.Line) + fmt.Sprintf(format, args...))
}

// warn notes what is odd and served all the same.
func (b *builder) warn(p place, format string, args ...any) {
	var file string
	if p.line != 0 {
		file = b.own.files[p.file]
	}
	b.warnings.add(at(file, int(p.line)) + fmt.Sprintf(format, args...))
}

// at begins a message about a place; records that were made, not read, have
// none.
func at(file string, line int) string {
	switch {
	case line != 0:
		return fmt.Sprintf("%s:%d: ", file, line)
	case file != "":
		return file + ": "
	default:
		return ""
	}
}

// checkSet returns the records of one name and type that are to be served:
// none twice (RFC 2181, section 5) and all with one TTL.
func (b *builder) checkSet(node *Node, rrtype uint16, group []Record) []Record {
	if len(group) == 1 {
		if _, ok := b.checkRecord(group[0]); !ok {
			return nil
		}
		return group
	}
	kept := group[:0]
	// By their data in lower case: names in it are the same in either case,
	// the rest is not.
	alike := make(map[string][]dns.RR, len(group))
	for _, r := range group {
		data, ok := b.checkRecord(r)
		if !ok {
			continue
		}
		key := string(bytes.ToLower(data))
		same := func(rr dns.RR) bool { return dns.IsDuplicate(rr, r.RR) }
		if slices.ContainsFunc(alike[key], same) {
			b.warn(b.place(r), "%s %s stands here again", node.Name, typeName(rrtype))
			continue
		}
		alike[key] = append(alike[key], r.RR)
		kept = append(kept, r)
	}
	switch rrtype {
	case dns.TypeSOA, dns.TypeCNAME, dns.TypeDNAME:
		for i := 1; i < len(kept); i++ {
			b.fault(kept[i], "%s has more than one %s record: keep one", node.Name, typeName(rrtype))
		}
	case dns.TypeRRSIG: // each has the TTL of what it signs
		return kept
	}
	b.level(node, rrtype, kept)
	return kept
}

// level gives all records of an RRset the lowest of their TTLs (RFC 2181,
// section 5.2).
func (b *builder) level(node *Node, rrtype uint16, set []Record) {
	if len(set) == 0 {
		return
	}
	lowest := set[0].RR.Header().Ttl
	for _, r := range set[1:] {
		lowest = min(lowest, r.RR.Header().Ttl)
	}
	for i, r := range set {
		if r.RR.Header().Ttl == lowest {
			continue
		}
		b.warn(b.place(r), "%s %s has records with different TTLs: all get %d s", node.Name, typeName(rrtype), lowest)
		set[i].RR = dns.Copy(r.RR)
		set[i].RR.Header().Ttl = lowest
	}
}

// checkRecord returns the data, in wire form, of a record that can be served.
func (b *builder) checkRecord(r Record) (data []byte, ok bool) {
	h := r.RR.Header()
	switch {
	case h.Class != dns.ClassINET:
		b.fault(r, "%s has class %s: only IN is served", h.Name, className(h.Class))
		return nil, false
	case meta(h.Rrtype):
		b.fault(r, "%s %s is for messages, not for zones", h.Name, typeName(h.Rrtype))
		return nil, false
	case h.Ttl > maxTTL:
		b.fault(r, "%s %s has a TTL of %d s: %d is the longest (RFC 2181, section 8)", h.Name, typeName(h.Rrtype), h.Ttl, maxTTL)
		return nil, false
	}
	n, err := dns.PackRR(r.RR, b.wire, 0, nil, false)
	if err != nil {
		b.fault(r, "%s %s can't be written in wire form: %v", h.Name, typeName(h.Rrtype), err)
		return nil, false
	}
	owner := 0
	for b.wire[owner] != 0 {
		owner += int(b.wire[owner]) + 1
	}
	const fixed = 1 + 2 + 2 + 4 + 2 // root, type, class, TTL, length
	data = b.wire[owner+fixed : n]
	if len(data) == 0 && !mayBeEmpty(r.RR) {
		b.fault(r, "%s %s has no data", h.Name, typeName(h.Rrtype))
		return nil, false
	}
	return data, true
}

// mayBeEmpty tells whether a record needs no data. Of other types the parser
// takes a line without data for a dynamic update.
func mayBeEmpty(rr dns.RR) bool {
	switch rr.(type) {
	case *dns.RFC3597, *dns.NULL, *dns.APL:
		return true
	default:
		return false
	}
}

// meta tells whether a type stands for questions or for parts of a message
// (RFC 6895, section 3.1).
func meta(rrtype uint16) bool {
	return rrtype == dns.TypeNone || rrtype == dns.TypeOPT || 128 <= rrtype && rrtype <= 255
}

// checkNode looks at what stands together at a name.
func (b *builder) checkNode(node *Node) {
	record := func(rrtype uint16) Record {
		return Record{RR: node.Set(rrtype)[0], File: b.own.files[node.place.file], Line: int(node.place.line)}
	}
	if node.Set(dns.TypeCNAME) != nil {
		for _, set := range node.Sets {
			switch set.Type {
			case dns.TypeCNAME, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeKEY: // RFC 2181, section 10.1; RFC 4034, section 3
			default:
				b.fault(record(set.Type), "%s has a CNAME and %s: a CNAME stands alone (RFC 1034, section 3.6.2)", node.Name, typeName(set.Type))
			}
		}
	}
	if node.Name == b.origin {
		return
	}
	if node.Set(dns.TypeSOA) != nil {
		b.fault(record(dns.TypeSOA), "%s has a SOA record: the zone %s has its own", node.Name, b.origin)
	}
	if node.delegates(b.origin) && node.Set(dns.TypeDNAME) != nil {
		b.warn(node.place, "%s has NS and DNAME: it is served as a delegation (RFC 6672, section 2.3)", node.Name)
	}
	if node.Name.Wildcard() && node.turns(b.origin) {
		b.warn(node.place, "%s has NS or DNAME: what that means is not defined (RFC 4592, section 4)", node.Name)
	}
}

// checkApex looks for what every zone has at its top (RFC 1035, section 5.2).
func (b *builder) checkApex() {
	apex := b.own.order[0]
	if apex.Set(dns.TypeSOA) == nil {
		b.faults.add(fmt.Sprintf("there is no SOA record at %s: add one", b.origin))
	}
	if apex.Set(dns.TypeNS) == nil {
		b.faults.add(fmt.Sprintf("there is no NS record at %s: add the zone's name servers", b.origin))
	}
	for _, rrtype := range []uint16{dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3PARAM} {
		if apex.Set(rrtype) != nil {
			b.warn(apex.place, "%s is signed: its signatures are served as plain data", b.origin)
			return
		}
	}
}

// checkTargets warns of aliases where the name of a host is wanted (RFC 2181,
// section 10.3).
func (b *builder) checkTargets() {
	for _, node := range b.own.order {
		if node.above != nil {
			continue
		}
		for _, set := range node.Sets {
			for _, rr := range set.RRs {
				if target, ok := hostOf(rr); ok {
					b.checkTarget(node, rr, target)
				}
			}
		}
	}
}

func (b *builder) checkTarget(node *Node, rr dns.RR, target string) {
	var buf [maxWire]byte
	wire, err := appendName(buf[:0], target)
	if err != nil || !within(wire, b.origin) {
		return
	}
	if host := b.own.nodes[Name(wire)]; host != nil && host.Set(dns.TypeCNAME) != nil {
		b.warn(node.place, "%s %s names %s, which is an alias: name the host itself (RFC 2181, section 10.3)",
			node.Name, typeName(rr.Header().Rrtype), target)
	}
}

// hostOf returns the host that a record names and whose addresses are wanted
// with it.
func hostOf(rr dns.RR) (string, bool) {
	switch rr := rr.(type) {
	case *dns.NS:
		return rr.Ns, true
	case *dns.MX:
		return rr.Mx, true
	case *dns.SRV:
		return rr.Target, true
	case *dns.SVCB:
		return rr.Target, true
	case *dns.HTTPS:
		return rr.Target, true
	default:
		return "", false
	}
}

// typeName returns the mnemonic of a type, or its form of RFC 3597, section 5.
func typeName(rrtype uint16) string { return dns.Type(rrtype).String() }

func className(class uint16) string { return dns.Class(class).String() }
