package dnsproof_test

import (
	"net"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// serve is a name server that answers as the handler says.
func serve(t *testing.T, handler dns.HandlerFunc) (addr string) {
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

// wrong is a name server whose right reply, a CNAME, is edited.
func wrong(t *testing.T, edit func(network string, m *dns.Msg)) (addr string) {
	t.Helper()
	return serve(t, func(w dns.ResponseWriter, query *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(query)
		m.Authoritative = true
		m.Answer = records(t, "web.apps.test. 5 CNAME web-green.apps.test.")
		m.Ns = records(t, "apps.test. 5 SOA ns1.apps.test. a.apps.test. 7 1 1 1 1")
		edit(w.LocalAddr().Network(), m)
		if err := w.WriteMsg(m); err != nil {
			t.Error(err)
		}
	})
}

// records are records in presentation form.
func records(t *testing.T, lines ...string) []dns.RR {
	t.Helper()
	rrs := make([]dns.RR, len(lines))
	for i, line := range lines {
		var err error
		if rrs[i], err = dns.NewRR(line); err != nil {
			t.Error(err)
		}
	}
	return rrs
}
