package dnsflip

import (
	"github.com/miekg/dns"

	"switchd/zone"
)

// newChaos returns the answer that tells the server's id, RFC 4892; nil
// without one.
func newChaos(id string) (*packed, error) {
	if id == "" {
		return nil, nil //nolint:nilnil // no id, no answer
	}
	const name = "\x02id\x06server\x00"
	return pack(&zone.Result{Authoritative: true, Answer: []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: "id.server.", Rrtype: dns.TypeTXT, Class: dns.ClassCHAOS},
		Txt: []string{id},
	}}}, name, anyName)
}

// chaosName tells whether the server's id is asked for.
func (q *query) chaosName() bool {
	if q.qtype != dns.TypeTXT && q.qtype != dns.TypeANY {
		return false
	}
	name := string(q.name())
	return name == "\x02id\x06server\x00" || name == "\x08hostname\x04bind\x00"
}
