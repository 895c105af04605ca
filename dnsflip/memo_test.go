package dnsflip

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnssec"
	"switchd/spec"
)

// usualTypes are all types whose answers are kept.
func usualTypes() (types []uint16) {
	for qtype := range uint16(300) {
		if usual(qtype) {
			types = append(types, qtype)
		}
	}
	return types
}

// signing returns a server of a signed zone.
func signing(t *testing.T, text string) *Server {
	t.Helper()
	key, err := dnssec.Generate(t.TempDir(), origin, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := quiet(Config{Keys: []dnssec.Key{key}})
	if err := s.Serve(parsed(t, text)); err != nil {
		t.Fatal(err)
	}
	return s
}

// askEachWay asks all that is kept apart: by type, with signatures, and with
// CO (RFC 9824).
func askEachWay(t *testing.T, s *Server, name string) {
	t.Helper()
	for _, qtype := range usualTypes() {
		for _, flags := range []uint32{0, flagDO, flagDO | flagCO} {
			query := new(dns.Msg)
			query.SetQuestion(name, qtype)
			query.SetEdns0(maxUDP, false).IsEdns0().Hdr.Ttl |= flags
			respond(s, wire(t, query), udp)
		}
	}
}

// held counts the bytes that a zone's nodes hold.
func held(z *served) (bytes int64) {
	for n := range z.zone.Nodes() {
		if m, ok := n.Memo.Load().(*memo); ok {
			for _, k := range *m {
				bytes += k.size()
			}
		}
	}
	return bytes
}

// TestMemo_LearnsWhenItIsFull asks one name more than is kept of one.
func TestMemo_LearnsWhenItIsFull(t *testing.T) {
	t.Parallel()
	s := signing(t, master+"hot A 192.0.2.1\n")
	askEachWay(t, s, "hot.apps.test.")
	lookup(t, s, "below.hot.apps.test.", dns.TypeA)
	z := s.current.Load().only
	n := z.zone.Node([]byte("\x03hot\x04apps\x04test\x00"))
	if m := n.Memo.Load().(*memo); len(*m) != maxMemo {
		t.Fatalf("%d answers are kept, want all %d: ask for more", len(*m), maxMemo)
	}
	if p := recall(n, question{qtype: dns.TypeA, below: true}); p == nil || !z.current(p) {
		t.Error("what was asked for last isn't kept")
	}
}

// TestServed_CountsWhatItKeeps holds the count to what the nodes hold, through
// answers that take the place of others.
func TestServed_CountsWhatItKeeps(t *testing.T) {
	t.Parallel()
	s := signing(t, master+"hot A 192.0.2.1\n")
	for range 3 {
		for _, name := range []string{"hot.apps.test.", "below.hot.apps.test.", "apps.test."} {
			askEachWay(t, s, name)
		}
	}
	z := s.current.Load().only
	if counted, is := z.kept.Load(), held(z); is == 0 || counted != is {
		t.Errorf("%d bytes are counted, %d are held", counted, is)
	}
}

func TestServed_KeepsNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	s := signing(t, master+"a A 192.0.2.1\nb A 192.0.2.2\n")
	z := s.current.Load().only
	askEachWay(t, s, "a.apps.test.")
	z.kept.Store(maxKeptBytes)
	before := held(z)
	askEachWay(t, s, "b.apps.test.")
	if after := held(z); after != before {
		t.Errorf("%d bytes more than there is room for", after-before)
	}
	if got := lookup(t, s, "b.apps.test.", dns.TypeA).Answer; len(got) != 1 {
		t.Errorf("without room for it, the answer is %v", got)
	}
}

// TestServed_HasRoomAgainAfterFlips asks for all names after each of many
// flips, whose answers before are held no more.
func TestServed_HasRoomAgainAfterFlips(t *testing.T) {
	t.Parallel()
	s, v := quiet(Config{}), mastered(1, "$TTL 60\nown A 192.0.2.1\n")
	for i := range 60 {
		web := v.Flips["web"]
		web.Live = spec.Other(web.Live)
		v.Flips, v.Serial = map[string]Flip{"web": web}, v.Serial+1
		if i%10 == 0 {
			v.Flips[fmt.Sprintf("late%d", i)] = web // other names: no answer holds any more
		}
		if err := s.Publish(v); err != nil {
			t.Fatal(err)
		}
		if i == 30 {
			s.current.Load().only.kept.Add(maxKeptBytes) // as after a million of them
		}
		askEachWay(t, s, "web.apps.test.")
		askEachWay(t, s, "own.apps.test.")
	}
	z := s.current.Load().only
	if counted, is := z.kept.Load(), held(z); counted > maxKeptBytes || is == 0 {
		t.Errorf("%d bytes are counted, %d are held", counted, is)
	}
	if n := z.zone.Node([]byte("\x03web\x04apps\x04test\x00")); recall(n, question{qtype: dns.TypeA}) == nil {
		t.Error("no answer is kept any more")
	}
}
