package dnsflip

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"switchd/spec"
)

// lookup asks a server without a socket, as by TCP.
func lookup(tb testing.TB, s *Server, name string, qtype uint16) *dns.Msg {
	tb.Helper()
	query, reply := new(dns.Msg), new(dns.Msg)
	query.SetQuestion(name, qtype)
	if err := reply.Unpack(respond(s, wire(tb, query), tcp)); err != nil {
		tb.Fatalf("reply to %s %s: %v", name, dns.Type(qtype), err)
	}
	return reply
}

func TestPublish_OfAnInvalidViewLeavesNoTrace(t *testing.T) {
	t.Parallel()
	const good = "$TTL 60\ntxt TXT good\nalias CNAME late\n"
	late := mastered(0, good).Flips["web"]
	late.Service = "late"
	for what, invalid := range map[string]func(*View){
		"its zone file has the name of a service": func(v *View) {
			bad := mastered(0, "$TTL 60\ntxt TXT bad\nweb CNAME elsewhere.example.\n")
			v.Zone.File, v.ZoneFile = bad.Zone.File, bad.ZoneFile
		},
		"it has a name more, and a secondary that is none": func(v *View) {
			v.Flips["late"], v.Zone.Transfer = late, []string{"nonsense"}
		},
	} {
		s, v := quiet(Config{}), mastered(1, good)
		if err := s.Publish(v); err != nil {
			t.Fatal(err)
		}
		lookup(t, s, "alias.apps.test.", dns.TypeA) // is kept
		bad := mastered(2, good)
		if invalid(&bad); s.Publish(bad) == nil {
			t.Fatalf("%s, and it is published", what)
		}
		v.Serial, v.Flips["late"] = 3, late
		if err := s.Publish(v); err != nil {
			t.Fatalf("%s; after it: %v", what, err)
		}
		if got := lookup(t, s, "txt.apps.test.", dns.TypeTXT).Answer; len(got) != 1 || got[0].(*dns.TXT).Txt[0] != "good" {
			t.Errorf("%s; after it: got %v", what, got)
		}
		if got := lookup(t, s, "alias.apps.test.", dns.TypeA).Answer; len(got) != 3 {
			t.Errorf("%s; after it the alias leads nowhere: got %v", what, got)
		}
	}
}

// TestPublish_ShowsNamesThatAppearInAService has other names that lead to the
// new ones, and whose answers were kept before.
func TestPublish_ShowsNamesThatAppearInAService(t *testing.T) {
	t.Parallel()
	s, v := quiet(Config{}), mastered(1, "$TTL 60\npool CNAME shop-blue\nserver CNAME ns1\nsub NS ns1\n")
	ask := func() (pool, server, glue int) {
		return len(lookup(t, s, "pool.apps.test.", dns.TypeA).Answer), len(lookup(t, s, "server.apps.test.", dns.TypeA).Answer),
			len(lookup(t, s, "host.sub.apps.test.", dns.TypeA).Extra)
	}
	if err := s.Publish(v); err != nil {
		t.Fatal(err)
	}
	if pool, server, glue := ask(); pool != 1 || server != 1 || glue != 0 {
		t.Fatalf("before: %d, %d and %d records", pool, server, glue)
	}
	web := v.Flips["web"]
	web.PoolName = "shop"
	v.Serial, v.Flips = 2, map[string]Flip{"web": web}
	v.NameServerAddrs = map[string][]netip.Addr{"ns1.apps.test": {netip.MustParseAddr("192.0.2.53")}}
	if err := s.Publish(v); err != nil {
		t.Fatal(err)
	}
	if pool, server, glue := ask(); pool != 2 || server != 2 || glue != 1 {
		t.Errorf("got %d, %d and %d records, want 2, 2 and 1", pool, server, glue)
	}
	if got := lookup(t, s, "web-"+spec.Blue+".apps.test.", dns.TypeA).Rcode; got != dns.RcodeNameError {
		t.Errorf("the pool's former name: got %s", dns.RcodeToString[got])
	}
}
