package dnssec_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnssec"
	"switchd/zone"
)

func TestNew_SaysWhatIsWrongWithTheKeys(t *testing.T) {
	t.Parallel()
	key := generate(t, t.TempDir(), apps)
	zsk := key
	zsk.Flags = dnssec.FlagsZSK
	for want, keys := range map[string][]dnssec.Key{
		"no key has the flags 257": nil,
		"of one that the parent's": {zsk},
		"one of zone other.test.":  {key, generate(t, t.TempDir(), name(t, "other.test."))},
		"two keys have the tag":    {key, key},
	} {
		_, err := dnssec.New(apps, keys, dnssec.Options{})
		wantError(t, err, want)
	}
}

func TestNew_KeysSignByTheirRole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bind := func(args ...string) dnssec.Key {
		base := strings.TrimSpace(run(t, "dnssec-keygen", append(append([]string{"-q", "-K", dir, "-a", "ECDSAP256SHA256"}, args...), "apps.test")...))
		key, err := dnssec.Load(dir+"/"+base, apps)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	k1, k2, z1, z2 := bind("-f", "KSK"), bind("-f", "KSK"), bind(), bind()
	for _, c := range []struct {
		title       string
		keys        []dnssec.Key
		keyset, set []dnssec.Key
	}{
		{"one for all", []dnssec.Key{k1}, []dnssec.Key{k1}, []dnssec.Key{k1}},
		{"a rollover of one for all", []dnssec.Key{k1, k2}, []dnssec.Key{k1, k2}, []dnssec.Key{k1, k2}},
		{"a pair", []dnssec.Key{z1, k1}, []dnssec.Key{k1}, []dnssec.Key{z1}},
		{"a rollover of the upper key", []dnssec.Key{k1, z1, k2}, []dnssec.Key{k1, k2}, []dnssec.Key{z1}},
		{"a rollover of the lower key", []dnssec.Key{k1, z1, z2}, []dnssec.Key{k1}, []dnssec.Key{z1, z2}},
	} {
		signer, err := dnssec.New(apps, c.keys, dnssec.Options{TTL: 2 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		z := withKeys(t, newZone(t, apps, master), signer)
		if got := len(signer.DNSKEY()); got != len(c.keys) || signer.DNSKEY()[0].Header().Ttl != 120 {
			t.Errorf("%s: got keys\n%s", c.title, show(signer.DNSKEY()))
		}
		for qtype, want := range map[uint16][]dnssec.Key{dns.TypeDNSKEY: c.keyset, dns.TypeMX: c.set} {
			q := dnssec.Question{Name: apps, Type: qtype}
			r := ask(t, signer, z, q, now)
			if err := validate(&r, apps, signer.DNSKEY(), q, now); err != nil {
				t.Errorf("%s: %v", c.title, err)
			}
			var got []uint16
			for _, rr := range r.Answer {
				if sig, ok := rr.(*dns.RRSIG); ok {
					got = append(got, sig.KeyTag)
				}
			}
			var tags []uint16
			for _, key := range want {
				tags = append(tags, key.Tag())
			}
			if !slices.Equal(got, tags) {
				t.Errorf("%s: %s is signed with %v, want %v", c.title, dns.Type(qtype), got, tags)
			}
		}
	}
}

// flip is a flip name and its two pools: while weights are set either may be
// the answer.
func flip(tb testing.TB, live string, ttl uint32, addr string, weights map[string]int) []*zone.Node {
	tb.Helper()
	rr := func(text string) dns.RR {
		rr, err := dns.NewRR(text)
		if err != nil {
			tb.Fatal(err)
		}
		return rr
	}
	alias := func(pool string) []zone.Set {
		cname := rr("web.apps.test. 0 CNAME web-" + pool + ".apps.test.")
		cname.Header().Ttl = ttl
		return []zone.Set{{Type: dns.TypeCNAME, RRs: []dns.RR{cname}}}
	}
	web := &zone.Node{Name: name(tb, "web.apps.test."), Unit: "web"}
	if len(weights) == 0 {
		web.Sets = alias(live)
	}
	for _, pool := range []string{"blue", "green"} {
		if weights[pool] > 0 {
			web.Choices = append(web.Choices, zone.Choice{Weight: weights[pool], Sets: alias(pool)})
		}
	}
	return []*zone.Node{
		web,
		{Name: name(tb, "web-blue.apps.test."), Unit: "web", Sets: []zone.Set{{Type: dns.TypeA, RRs: []dns.RR{rr("web-blue.apps.test. 5 A " + addr)}}}},
		{Name: name(tb, "web-green.apps.test."), Unit: "web", Sets: []zone.Set{{Type: dns.TypeA, RRs: []dns.RR{rr("web-green.apps.test. 5 A 192.0.2.200")}}}},
	}
}

// TestPrepare_LeavesNothingToSign has no signature made for names that would
// count against the bound, nor any at all after Prepare.
func TestPrepare_LeavesNothingToSign(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, dnssec.Options{})
	own := newZone(t, apps, master)
	for i, nodes := range [][]*zone.Node{
		flip(t, "blue", 60, "192.0.2.100", nil),
		flip(t, "blue", 5, "192.0.2.100", nil),
		flip(t, "blue", 5, "192.0.2.101", map[string]int{"blue": 90, "green": 10}),
		flip(t, "green", 5, "192.0.2.101", nil),
	} {
		z, err := withKeys(t, own, signer, nodes...).With(uint32(100+i), append(nodes, withKeys(t, own, signer).Node([]byte(apps))))
		if err != nil {
			t.Fatal(err)
		}
		before := signer.Kept()
		if err := signer.Prepare(z, nodes, now); err != nil {
			t.Fatal(err)
		}
		prepared := signer.Kept()
		if prepared == before {
			t.Error("nothing was signed")
		}
		if err := signer.Prepare(z, nodes, now); err != nil || signer.Kept() != prepared {
			t.Fatalf("prepared twice: %d RRsets were signed again, %v", signer.Kept()-prepared, err)
		}
		for _, asked := range []string{"web", "web-blue", "web-green"} {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT} {
				for pick := range 100 {
					q := dnssec.Question{Name: name(t, asked+".apps.test."), Type: qtype}
					r := z.Lookup(q.Name, q.Type, func(total int) int { return pick % total })
					if _, err := signer.Secure(z, &r, q, now); err != nil {
						t.Fatal(err)
					}
					if err := validate(&r, apps, signer.DNSKEY(), q, now); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if got := signer.Kept(); got != prepared {
			t.Errorf("flip %d: %d RRsets were signed after Prepare", i, got-prepared)
		}
	}
}

// TestSecure_ProvesWhatChanceHasChosen has a name with an address of one
// family in one pool and of the other one in the other.
func TestSecure_ProvesWhatChanceHasChosen(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, dnssec.Options{})
	choice := func(text string) zone.Choice {
		rr, err := dns.NewRR("half.apps.test. 5 IN " + text)
		if err != nil {
			t.Fatal(err)
		}
		return zone.Choice{Weight: 1, Sets: []zone.Set{{Type: rr.Header().Rrtype, RRs: []dns.RR{rr}}}}
	}
	half := &zone.Node{Name: name(t, "half.apps.test."), Unit: "half", Choices: []zone.Choice{choice("A 192.0.2.1"), choice("AAAA 2001:db8::1")}}
	z := withKeys(t, newZone(t, apps, master), signer, half)
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT} {
		for pick := range 2 {
			q := dnssec.Question{Name: half.Name, Type: qtype}
			r := z.Lookup(q.Name, q.Type, func(int) int { return pick })
			if _, err := signer.Secure(z, &r, q, now); err != nil {
				t.Fatal(err)
			}
			if err := validate(&r, apps, signer.DNSKEY(), q, now); err != nil {
				t.Errorf("%s, choice %d: %v", dns.Type(qtype), pick, err)
			}
		}
	}
}

// BenchmarkPrepare_AFlipAmongMany publishes one flip of 10,000.
func BenchmarkPrepare_AFlipAmongMany(b *testing.B) {
	signer := newSigner(b, dnssec.Options{})
	own := newZone(b, apps, master)
	var nodes []*zone.Node
	for i := range 10_000 {
		nodes = append(nodes, &zone.Node{Name: name(b, strconv.Itoa(i)+".pool.apps.test."), Sets: own.Node([]byte(name(b, "mail.apps.test."))).Sets[:1]})
	}
	blue, green := flip(b, "blue", 5, "192.0.2.100", nil), flip(b, "green", 5, "192.0.2.100", nil)
	prepare := func(changed []*zone.Node, serial int) {
		all := slices.Concat(changed, nodes)
		z, err := own.With(uint32(serial), all)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := signer.Prepare(z, all, now); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Microseconds()), "us/prepare")
	}
	prepare(blue, 1)
	for i := 0; b.Loop(); i++ {
		prepare([][]*zone.Node{blue, green}[i%2], i+2)
	}
}

func BenchmarkSecure(b *testing.B) {
	signer := newSigner(b, dnssec.Options{Rate: 1 << 30})
	z := withKeys(b, newZone(b, apps, master), signer)
	alias, missing := name(b, "alias.apps.test."), name(b, "missing.apps.test.")
	for title, run := range map[string]func(i int){
		"kept":  func(int) { ask(b, signer, z, dnssec.Question{Name: alias, Type: dns.TypeA}, now) },
		"again": func(int) { ask(b, signer, z, dnssec.Question{Name: missing, Type: dns.TypeA}, now) },
		"anew": func(i int) {
			ask(b, signer, z, dnssec.Question{Name: "\x04" + zone.Name([]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}) + apps, Type: dns.TypeA}, now)
		},
	} {
		b.Run(title, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				run(i)
			}
		})
	}
}
