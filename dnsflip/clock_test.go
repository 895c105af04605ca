package dnsflip

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnssec"
)

// A clock that runs, stands still or is set back or forth, by an hour or by
// years: what is answered by it is valid by it, from the first answer on.
func TestServed_SignaturesAreValidByTheClock(t *testing.T) {
	t.Parallel()
	now := time.Now()
	key, err := dnssec.Generate(t.TempDir(), origin, now)
	if err != nil {
		t.Fatal(err)
	}
	s := quiet(Config{Keys: []dnssec.Key{key}})
	v := richView()
	v.Zone.DNSSEC = true
	if err := s.Publish(v); err != nil {
		t.Fatal(err)
	}
	signed := s.current.Load().only
	dnskey := key.DNSKEY(60)
	for _, step := range []time.Duration{
		0, time.Second, 84 * time.Hour, 84 * time.Hour, 7 * 24 * time.Hour, -time.Hour, -30 * 24 * time.Hour, time.Hour,
		10 * 365 * 24 * time.Hour, -12 * 365 * 24 * time.Hour, -1, 2 * 365 * 24 * time.Hour, // and back to where it began
	} {
		now = now.Add(step)
		for name, qtype := range map[string]uint16{
			"api.apps.test.": dns.TypeCNAME, "web-blue.apps.test.": dns.TypeA, "apps.test.": dns.TypeSOA,
			"nope.apps.test.": dns.TypeA, "a.wild.apps.test.": dns.TypeA, "sub.apps.test.": dns.TypeA,
		} {
			var q query
			m := new(dns.Msg).SetQuestion(name, qtype)
			m.SetEdns0(maxUDP, true)
			if !q.parse(wire(t, m)) {
				t.Fatal("not parsed")
			}
			p, err := signed.answer(&q, fixed(1), now)
			if err != nil {
				t.Fatalf("%s at %s: %v", name, now, err)
			}
			var reply dns.Msg
			if err := reply.Unpack(p.emit(nil, &q, signed.serial, dns.MaxMsgSize, 0)); err != nil {
				t.Fatal(err)
			}
			if n := verify(t, &reply, dnskey, now); n == 0 {
				t.Errorf("%s at %s: nothing is signed:\n%s", name, now, &reply)
			}
		}
	}
}

// verify checks all signatures of a reply at a time, and counts them.
func verify(t *testing.T, reply *dns.Msg, key *dns.DNSKEY, now time.Time) (n int) {
	t.Helper()
	for _, section := range [][]dns.RR{reply.Answer, reply.Ns} {
		for _, rr := range section {
			rrsig, ok := rr.(*dns.RRSIG)
			if !ok {
				continue
			}
			n++
			var set []dns.RR
			for _, rr := range section {
				if rr.Header().Rrtype == rrsig.TypeCovered && rr.Header().Name == rrsig.Hdr.Name {
					set = append(set, rr)
				}
			}
			if err := rrsig.Verify(key, set); err != nil {
				t.Errorf("%s %s: %v", rrsig.Hdr.Name, dns.Type(rrsig.TypeCovered), err)
			}
			// What a resolver has kept for an hour is valid then, too.
			for _, at := range []time.Time{now, now.Add(time.Hour)} {
				if !rrsig.ValidityPeriod(at) {
					t.Errorf("%s %s isn't valid at %s: %s", rrsig.Hdr.Name, dns.Type(rrsig.TypeCovered), at, rrsig)
				}
			}
		}
	}
	return n
}
