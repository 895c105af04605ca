package dnsproof_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsproof"
)

func TestAsk_TakesNoReplyForAProofThatIsNone(t *testing.T) {
	t.Parallel()
	for want, edit := range map[string]func(*dns.Msg){
		"the server is not authoritative":  func(m *dns.Msg) { m.Authoritative = false },
		"the reply is truncated":           func(m *dns.Msg) { m.Truncated = true },
		"the reply is not to the question": func(m *dns.Msg) { m.Question[0].Name = "api.apps.test." },
		"the name has 2 CNAMEs":            func(m *dns.Msg) { m.Answer = append(m.Answer, m.Answer[0]) },
		"the reply is SERVFAIL":            func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure },
		"the reply is RCODE 14":            func(m *dns.Msg) { m.Rcode = 14 },
		"the reply is NXDOMAIN":            func(m *dns.Msg) { m.Rcode, m.Answer = dns.RcodeNameError, nil },
	} {
		addr := wrong(t, func(_ string, m *dns.Msg) { edit(m) })
		reply, err := dnsproof.Ask(t.Context(), addr, "web.apps.test")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), addr) {
			t.Errorf("got %v, %v, want %s", reply, err, want)
		}
	}
}

func TestAsk_ReadsTargetTTLAndSerialFromOneReply(t *testing.T) {
	t.Parallel()
	right := dnsproof.Reply{Target: "web-green.apps.test", TTL: 5 * time.Second, Zone: "apps.test", Serial: 7}
	outside := right
	outside.Zone, outside.Serial = "", 0
	for name, c := range map[string]struct {
		edit func(*dns.Msg)
		want dnsproof.Reply
	}{
		"as usual":                       {func(*dns.Msg) {}, right},
		"without case":                   {func(m *dns.Msg) { m.Answer[0].(*dns.CNAME).Target = "Web-Green.APPS.test." }, right},
		"a target that is not there":     {func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, right},
		"without SOA":                    {func(m *dns.Msg) { m.Ns = nil }, outside},
		"the SOA of the target's zone":   {func(m *dns.Msg) { m.Ns[0].Header().Name = "green.test." }, outside},
		"with records of the next names": {func(m *dns.Msg) { m.Answer = append(m.Answer, records(t, "web-green.apps.test. 60 A 192.0.2.1")...) }, right},
	} {
		addr := wrong(t, func(_ string, m *dns.Msg) { c.edit(m) })
		got, err := dnsproof.Ask(t.Context(), addr, "WEB.apps.test.")
		if err != nil || got.String() != c.want.String() || got.TTL != c.want.TTL || got.Zone != c.want.Zone || got.Serial != c.want.Serial || len(got.Addrs) != 0 {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

func TestAsk_TriesTCPAfterUDP(t *testing.T) {
	t.Parallel()
	addr := wrong(t, func(network string, m *dns.Msg) { m.Truncated = network == "udp" })
	reply, err := dnsproof.Ask(t.Context(), addr, "web.apps.test")
	if err != nil || reply.Target != "web-green.apps.test" || reply.Serial != 7 {
		t.Errorf("got %+v, %v", reply, err)
	}
}

func TestAsk_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	pc, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0") // never replies
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close() //nolint:errcheck // a test's server
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		buf := make([]byte, dns.MaxMsgSize)
		if _, _, err := pc.ReadFrom(buf); err == nil {
			cancel()
		}
	}()
	begin := time.Now()
	_, err = dnsproof.Ask(ctx, pc.LocalAddr().String(), "web.apps.test")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took %v", took)
	}
}

// apex is the name server of a zone whose own addresses are flipped; the
// serial that it shows is counted up by each look at it while moving.
type apex struct {
	serial atomic.Uint32
	moving atomic.Int32 // looks after which it stands still
}

func (a *apex) handle(t *testing.T) dns.HandlerFunc {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(query)
		m.Authoritative = true
		soa := &dns.SOA{Hdr: dns.RR_Header{Name: "apps.test.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: "ns1.apps.test.", Mbox: "a.apps.test.", Serial: a.serial.Load()}
		switch query.Question[0].Qtype {
		case dns.TypeSOA:
			if a.moving.Add(-1) >= 0 {
				soa.Serial = a.serial.Add(1)
			}
			m.Answer = []dns.RR{soa}
		case dns.TypeHTTPS:
			m.Answer = records(t, "apps.test. 5 HTTPS 0 web-green.apps.test.")
		case dns.TypeA:
			m.Answer = records(t, "apps.test. 5 A 192.0.2.2", "apps.test. 5 A 192.0.2.1", "apps.test. 5 A 192.0.2.2")
		default:
			m.Ns = []dns.RR{soa}
		}
		if err := w.WriteMsg(m); err != nil {
			t.Error(err)
		}
	}
}

func TestAsk_OfAnApexCountsOnlyWhatIsOfOneSerial(t *testing.T) {
	t.Parallel()
	a := new(apex)
	a.serial.Store(40)
	addr := serve(t, a.handle(t))
	a.moving.Store(2) // the first two looks
	got, err := dnsproof.Ask(t.Context(), addr, "apps.test")
	if err != nil || got.Target != "web-green.apps.test" || got.Zone != "apps.test" || got.Serial != 42 || got.TTL != 5*time.Second {
		t.Errorf("got %+v, %v", got, err)
	}
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}; len(got.Addrs) != 2 || got.Addrs[0] != want[0] || got.Addrs[1] != want[1] {
		t.Errorf("got %v, want %v", got.Addrs, want)
	}
	a.moving.Store(100)
	if got, err := dnsproof.Ask(t.Context(), addr, "apps.test"); err == nil || !strings.Contains(err.Error(), "changes faster") {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestReply_SaysWhereItLeads(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]dnsproof.Reply{
		"nothing":                 {},
		"web-blue.apps.test":      {Target: "web-blue.apps.test", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		"192.0.2.1, 2001:db8::17": {Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::17")}},
	} {
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
