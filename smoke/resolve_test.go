package smoke_test

import (
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/gate"
	"switchd/smoke"
	"switchd/spec"
)

// nameServer answers every question with 127.0.0.1, or with rcode, on a free
// port of the loopback.
func nameServer(t *testing.T, rcode int) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0") //nolint:noctx // binds at once
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetRcode(q, rcode)
		if rcode == dns.RcodeSuccess && q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET},
				A:   net.IPv4(127, 0, 0, 1),
			})
		}
		_ = w.WriteMsg(m)
	})}
	started, ended := make(chan struct{}), make(chan error, 1)
	srv.NotifyStartedFunc = func() { close(started) }
	go func() { ended <- srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := srv.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return conn.LocalAddr().String()
}

func TestThroughDNS_ResolvesByTheGivenServersOnly(t *testing.T) {
	t.Parallel()
	target := serve(t, answer(200, ""))
	u, err := url.Parse(target.URL)
	if err != nil {
		t.Fatal(err)
	}
	target.Name = "web-green.apps.test"
	target.URL = "http://web-green.apps.test:" + u.Port()
	target.Addr = ""

	refusing := nameServer(t, dns.RcodeRefused)
	target.Dial = smoke.ThroughDNS([]string{refusing, nameServer(t, dns.RcodeSuccess)})
	wantVerdict(t, run(t, check(), spec.Vars{}, target), gate.Pass, "")

	target.Dial = smoke.ThroughDNS([]string{nameServer(t, dns.RcodeNameError)})
	v := run(t, check(), spec.Vars{}, target)
	wantVerdict(t, v, gate.Fail, "resolve web-green.apps.test. by 127.0.0.1:")
	wantVerdict(t, v, gate.Fail, "no such host")

	target.Dial = smoke.ThroughDNS(nil)
	wantVerdict(t, run(t, check(), spec.Vars{}, target), gate.Fail, "no DNS server is configured")
}

func TestThroughDNS_LeavesADeadServerForTheNext(t *testing.T) {
	t.Parallel()
	dead, err := net.ListenPacket("udp", "127.0.0.1:0") //nolint:noctx // binds at once
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dead.Close() })
	target := serve(t, answer(200, ""))
	target.URL = strings.Replace(target.URL, "127.0.0.1", "web-green.apps.test", 1)
	target.Dial = smoke.ThroughDNS([]string{dead.LocalAddr().String(), nameServer(t, dns.RcodeSuccess)})
	start := time.Now()
	wantVerdict(t, run(t, check(), spec.Vars{}, target), gate.Pass, "")
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestThroughDNS_DialsAddressesAsTheyAre(t *testing.T) {
	t.Parallel()
	target := serve(t, answer(200, ""))
	target.Dial = smoke.ThroughDNS([]string{"127.0.0.1:1"})
	wantVerdict(t, run(t, check(), spec.Vars{}, target), gate.Pass, "")
}
