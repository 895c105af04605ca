package dnsflip

import (
	"encoding/hex"

	"github.com/miekg/dns"
)

// maxUDP is the largest reply that is sent by UDP, and the size that this
// server says it takes: it fits one packet on every path that matters, so it
// is never fragmented (DNS Flag Day 2020).
const maxUDP = 1232

// options returns the OPT records of a query, RFC 6891.
func options(query *dns.Msg) []*dns.OPT {
	var opts []*dns.OPT
	for _, rr := range query.Extra {
		if opt, ok := rr.(*dns.OPT); ok {
			opts = append(opts, opt)
		}
	}
	return opts
}

// option returns the OPT record of a reply: the one of the query, with the
// DO bit of it and nothing else. The name server's id, RFC 5001, is told to
// who asks for it; all other options are unknown here and ignored.
func (s *snapshot) option(query *dns.OPT) *dns.OPT {
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(maxUDP)
	opt.SetDo(query.Do())
	for _, o := range query.Option {
		if o.Option() == dns.EDNS0NSID && s.id != "" {
			opt.Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: hex.EncodeToString([]byte(s.id))}}
		}
	}
	return opt
}

// udpLimit returns the bytes that a reply by UDP may have: 512 without EDNS
// and at least so with it, RFC 6891 section 6.2.3.
func udpLimit(query *dns.Msg) int {
	limit := dns.MinMsgSize
	for _, opt := range options(query) {
		limit = max(limit, min(int(opt.UDPSize()), maxUDP))
	}
	return limit
}
