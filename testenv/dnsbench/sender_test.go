//go:build linux

package main

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers from the bench's zone, unless meddle has done so.
func serve(t *testing.T, meddle func(w dns.ResponseWriter, query *dns.Msg) bool) netip.AddrPort {
	t.Helper()
	var text strings.Builder
	if err := writeZone(&text, 100); err != nil {
		t.Fatal(err)
	}
	records := map[string]dns.RR{}
	parser := dns.NewZoneParser(strings.NewReader(text.String()), "", "zone")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		if rr.Header().Rrtype != dns.TypeNS {
			records[rr.Header().Name] = rr
		}
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		if meddle(w, query) {
			return
		}
		reply := new(dns.Msg)
		reply.SetReply(query)
		reply.Authoritative = true
		for rr := records[query.Question[0].Name]; rr != nil; {
			reply.Answer = append(reply.Answer, rr)
			alias, ok := rr.(*dns.CNAME)
			if !ok {
				break
			}
			rr = records[alias.Target]
		}
		if len(reply.Answer) == 0 {
			reply.Rcode, reply.Ns = dns.RcodeNameError, []dns.RR{records[origin+"."]}
		}
		_ = w.WriteMsg(reply) // what isn't sent is lost, which shows
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ActivateAndServe() }) // it ends with an error when its socket is closed
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

func untouched(dns.ResponseWriter, *dns.Msg) bool { return false }

func TestSender_AsksAsFastAsItIsAnswered(t *testing.T) {
	for _, set := range []string{chain, random} {
		out, err := (&sender{server: serve(t, untouched), questions: questions(set, 100), window: 20, sockets: 4, duration: 200 * time.Millisecond}).run()
		if err != nil {
			t.Fatal(err)
		}
		if out.Lost != 0 || out.Answered != out.Sent || out.Answered < 200 || out.QPS <= 0 || out.P99 < out.P50 || out.P50 <= 0 {
			t.Errorf("%s: got %+v", set, out)
		}
	}
}

func TestSender_FindsAWrongAnswer(t *testing.T) {
	for what, spoil := range map[string]func(reply *dns.Msg){
		"no answer":        func(*dns.Msg) {},
		"another rcode":    func(reply *dns.Msg) { reply.Rcode = dns.RcodeServerFailure },
		"no authority":     func(reply *dns.Msg) { reply.Authoritative = false },
		"a wrong address":  func(reply *dns.Msg) { reply.Answer = []dns.RR{a(t, "host0000050.apps.test. 60 IN A 10.0.0.51")} },
		"a wrong TTL":      func(reply *dns.Msg) { reply.Answer = []dns.RR{a(t, "host0000050.apps.test. 61 IN A 10.0.0.50")} },
		"one more address": func(reply *dns.Msg) { reply.Answer = append(reply.Answer, reply.Answer...) },
	} {
		var asked atomic.Int32
		addr := serve(t, func(w dns.ResponseWriter, query *dns.Msg) bool {
			// The first time it is right.
			if query.Question[0].Name != "host0000050.apps.test." || asked.Add(1) == 1 {
				return false
			}
			reply := new(dns.Msg)
			reply.SetReply(query)
			reply.Authoritative = true
			if what == "one more address" {
				reply.Answer = []dns.RR{a(t, "host0000050.apps.test. 60 IN A 10.0.0.50")}
			}
			spoil(reply)
			_ = w.WriteMsg(reply)
			return true
		})
		_, err := (&sender{server: addr, questions: questions(random, 100), window: 5, duration: time.Minute}).run()
		if err == nil || !strings.Contains(err.Error(), "answer to host0000050") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func a(t *testing.T, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

func TestSender_ChargesAStallToAllThatWereDue(t *testing.T) {
	const stall = 200 * time.Millisecond
	var asked atomic.Int32
	stalled := make(chan struct{})
	addr := serve(t, func(dns.ResponseWriter, *dns.Msg) bool {
		if asked.Add(1) < 100 {
			return false
		}
		<-stalled
		return false
	})
	time.AfterFunc(stall+100*time.Millisecond, func() { close(stalled) }) // 100 ms of 1,000 queries a second come before
	out, err := (&sender{server: addr, questions: questions(chain, 0), rate: 1000, duration: 500 * time.Millisecond}).run()
	if err != nil {
		t.Fatal(err)
	}
	// Those of the stall are two of five: they waited for half of it on average.
	// The last few may come due too late on a busy machine.
	if out.Sent < 450 || out.Sent > 500 || out.P99 < stall*3/4 || out.Max < stall*3/4 || out.P50 > stall/2 {
		t.Errorf("got %+v", out)
	}
}

func TestSender_CountsWhatIsLost(t *testing.T) {
	var asked atomic.Int32
	addr := serve(t, func(dns.ResponseWriter, *dns.Msg) bool { return asked.Add(1)%10 == 0 })
	out, err := (&sender{server: addr, questions: questions(chain, 0), rate: 1000, duration: 100 * time.Millisecond}).run()
	if err != nil {
		t.Fatal(err)
	}
	if out.Sent < 90 || out.Sent > 100 || out.Lost != out.Sent/10 || out.Answered != out.Sent-out.Lost {
		t.Errorf("got %+v, want every tenth of 100 lost", out)
	}
}

func TestFlight_ALossHoldsUpTheIdentifiersButNotForEver(t *testing.T) {
	begin := time.Now()
	f := &flight{sender: &sender{window: 1000}, packets: [][]byte{make([]byte, 12)}, oldest: 5, next: 4, underWay: 1}
	f.pending[5] = pending{due: begin, waiting: true} // the only one of 65,535 that wasn't answered
	if err := f.send(begin, begin); err != nil || f.asked != 0 {
		t.Fatalf("%d sent, %v: identifiers were used twice", f.asked, err)
	}
	f.lose(begin.Add(lostAfter))
	if f.oldest != f.next || f.underWay != 0 || f.outcome.Lost != 1 {
		t.Errorf("oldest %d, next %d, %d under way, %d lost", f.oldest, f.next, f.underWay, f.outcome.Lost)
	}
}
