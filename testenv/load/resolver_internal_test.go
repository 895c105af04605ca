package load

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestResolver_AsksAgainWhenTheSmallestTTLIsOver(t *testing.T) {
	t.Parallel()
	packets, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]int{}
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		// The alias's target must be asked for by itself.
		name := query.Question[0].Name
		asked[name]++
		record := "web.apps.test. 60 CNAME Blue.Web.apps.test."
		if name != "web.apps.test." {
			record = "blue.web.apps.test. 5 A 127.0.0.1"
		}
		rr, err := dns.NewRR(record)
		if err != nil {
			panic(err)
		}
		answer := new(dns.Msg).SetReply(query)
		answer.Answer = []dns.RR{rr}
		_ = w.WriteMsg(answer)
	})}
	up := make(chan struct{})
	server.NotifyStartedFunc = func() { close(up) }
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.ActivateAndServe() })
	<-up

	now := time.Now()
	r := newResolver(Config{Servers: []string{packets.LocalAddr().String()}, Dial: new(net.Dialer).DialContext})
	r.now = func() time.Time { return now }
	for _, after := range []time.Duration{0, 4999 * time.Millisecond, 5 * time.Second, 9 * time.Second, 10 * time.Second} {
		start := now
		now = now.Add(after)
		addrs, err := r.resolve(t.Context(), "web.apps.test.")
		if err != nil || len(addrs) != 1 || addrs[0].String() != "127.0.0.1" {
			t.Fatalf("after %s: got %v (%v)", after, addrs, err)
		}
		now = start
	}
	if err := server.Shutdown(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	// At 0 s, 5 s and 10 s.
	if asked["web.apps.test."] != 3 || asked["Blue.Web.apps.test."] != 3 {
		t.Errorf("asked %v, want 3 times for each of both names", asked)
	}
}

func FuzzFollow(f *testing.F) {
	for _, records := range [][]string{
		{"web.apps.test. 5 CNAME blue.apps.test.", "blue.apps.test. 60 A 127.0.0.1"},
		{"web.apps.test. 5 CNAME blue.apps.test.", "blue.apps.test. 5 CNAME web.apps.test."},
		{"web.apps.test. 0 A 127.0.0.1", "web.apps.test. 1 A 127.0.0.2"},
	} {
		msg := new(dns.Msg).SetQuestion("web.apps.test.", dns.TypeA)
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			msg.Answer = append(msg.Answer, rr)
		}
		wire, err := msg.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		msg := new(dns.Msg)
		if msg.Unpack(wire) != nil {
			return
		}
		_, addrs, _ := follow(msg.Answer, "web.apps.test.")
		if len(addrs) > len(msg.Answer) {
			t.Errorf("%d addresses of %d records", len(addrs), len(msg.Answer))
		}
		for _, addr := range addrs {
			if !addr.Is4() {
				t.Errorf("%v isn't an IPv4 address", addr)
			}
		}
	})
}
