package dnsflip_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip"
	"switchd/spec"
)

func TestAsk_ProvesASwitchOnAReplica(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	check := func(name, wantPool string, wantSerial uint32) {
		t.Helper()
		pool, serial, err := dnsflip.Ask(t.Context(), addr, name)
		if err != nil || pool != wantPool || serial != wantSerial {
			t.Errorf("%s: %q, %d, %v, want %q, %d", name, pool, serial, err, wantPool, wantSerial)
		}
	}
	publish(t, server, testView(7, spec.Blue))
	check("web.apps.test", spec.Blue, 7)
	publish(t, server, testView(8, spec.Green))
	check("web.apps.test", spec.Green, 8)
	check("WEB.apps.test.", spec.Green, 8)
	check("new.apps.test", "", 8)
	check("dark.apps.test", spec.Green, 8)
}

func TestAsk_SaysWhyThereIsNoProof(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	refused := func(name, want string) {
		t.Helper()
		_, _, err := dnsflip.Ask(t.Context(), addr, name)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	refused("web.apps.test", "the reply is SERVFAIL")
	publish(t, server, testView(7, spec.Green))
	refused("nope.apps.test", "the reply is NXDOMAIN")
	refused("web.example.net", "the reply is REFUSED")
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	refused("web.apps.test", "connection refused")
}

// wrong is a name server whose right reply is edited.
func wrong(t *testing.T, edit func(network string, m *dns.Msg)) (addr string) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := lc.ListenPacket(t.Context(), "udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(query)
		m.Authoritative = true
		m.Answer = []dns.RR{&dns.CNAME{
			Hdr:    dns.RR_Header{Name: "web.apps.test.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 5},
			Target: "web-green.apps.test.",
		}}
		m.Ns = []dns.RR{&dns.SOA{
			Hdr: dns.RR_Header{Name: "apps.test.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 5},
			Ns:  "ns1.apps.test.", Mbox: "a.apps.test.", Serial: 7,
		}}
		edit(w.LocalAddr().Network(), m)
		if err := w.WriteMsg(m); err != nil {
			t.Error(err)
		}
	})
	for _, server := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
		up := make(chan struct{})
		server.NotifyStartedFunc = func() { close(up) }
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := server.ActivateAndServe(); err != nil {
				t.Error(err)
			}
		})
		<-up
		t.Cleanup(func() {
			if err := server.Shutdown(); err != nil {
				t.Error(err)
			}
			serving.Wait()
		})
	}
	return l.Addr().String()
}

func TestAsk_TakesNoReplyForAProofThatIsNone(t *testing.T) {
	t.Parallel()
	for want, edit := range map[string]func(*dns.Msg){
		"":                                 func(*dns.Msg) {},
		"the server is not authoritative":  func(m *dns.Msg) { m.Authoritative = false },
		"the reply is truncated":           func(m *dns.Msg) { m.Truncated = true },
		"the reply has no SOA":             func(m *dns.Msg) { m.Ns = nil },
		"the reply is not to the question": func(m *dns.Msg) { m.Question[0].Name = "api.apps.test." },
		"CNAME to api-green.apps.test., which is not": func(m *dns.Msg) { m.Answer[0].(*dns.CNAME).Target = "api-green.apps.test." },
		"CNAME to web-red.apps.test., which is not":   func(m *dns.Msg) { m.Answer[0].(*dns.CNAME).Target = "web-red.apps.test." },
		"the name has 2 CNAMEs":                       func(m *dns.Msg) { m.Answer = append(m.Answer, m.Answer[0]) },
	} {
		pool, serial, err := dnsflip.Ask(t.Context(), wrong(t, func(_ string, m *dns.Msg) { edit(m) }), "web.apps.test")
		switch {
		case want == "" && (err != nil || pool != spec.Green || serial != 7):
			t.Errorf("got %q, %d, %v", pool, serial, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestAsk_TriesTCPAfterUDP(t *testing.T) {
	t.Parallel()
	addr := wrong(t, func(network string, m *dns.Msg) { m.Truncated = network == "udp" })
	pool, serial, err := dnsflip.Ask(t.Context(), addr, "web.apps.test")
	if err != nil || pool != spec.Green || serial != 7 {
		t.Errorf("got %q, %d, %v", pool, serial, err)
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
	_, _, err = dnsflip.Ask(ctx, pc.LocalAddr().String(), "web.apps.test")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took %v", took)
	}
}
