package dnsproof

import (
	"testing"

	"github.com/miekg/dns"
)

// FuzzReply has any bytes for a reply: it must be refused or read, and what
// was read must be of the name that was asked for.
func FuzzReply(f *testing.F) {
	query := new(dns.Msg)
	query.SetQuestion("web.apps.test.", dns.TypeSOA)
	seed := func(edit func(m *dns.Msg)) {
		m := new(dns.Msg)
		m.SetReply(query)
		m.Authoritative = true
		for _, line := range []string{"web.apps.test. 5 CNAME web-green.apps.test.", "web-green.apps.test. 60 A 192.0.2.1"} {
			rr, err := dns.NewRR(line)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		edit(m)
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	seed(func(*dns.Msg) {})
	seed(func(m *dns.Msg) { m.Rcode = dns.RcodeNameError })
	seed(func(m *dns.Msg) { m.Answer[1].Header().Name = "web.apps.test." })
	f.Fuzz(func(t *testing.T, packet []byte) {
		m := new(dns.Msg)
		if m.Unpack(packet) != nil || check(m, query, true) != nil {
			return
		}
		var r Reply
		if r.read(m) != nil {
			return
		}
		if r.Target != "" && !leads(m) && len(m.Answer) == 0 {
			t.Errorf("led to %s by %v", r.Target, m)
		}
		if r.Zone != "" && !dns.IsSubDomain(dns.Fqdn(r.Zone), "web.apps.test.") {
			t.Errorf("serial of %s", r.Zone)
		}
	})
}
