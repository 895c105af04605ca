package dnssec_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"switchd/dnssec"
	"switchd/zone"
)

func TestSecure_SignsAndProves(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, dnssec.Options{})
	z := withKeys(t, newZone(t, apps, master), signer)
	const negativeSOA = `apps.test. 60 SOA ns1.apps.test. admin.apps.test. 7 300 60 86400 60
apps.test. RRSIG SOA labels 2 ttl 60/3600
`
	for _, c := range []struct {
		title     string
		name      string
		qtype     uint16
		compactOK bool
		rcode     int
		answer    string
		authority string
	}{
		{
			title: "a set", name: "many", qtype: dns.TypeA,
			answer: "many.apps.test. 300 A 192.0.2.12\nmany.apps.test. 300 A 192.0.2.10\nmany.apps.test. 300 A 192.0.2.11\nmany.apps.test. RRSIG A labels 3 ttl 300/300\n",
		},
		{
			title: "an alias", name: "alias", qtype: dns.TypeAAAA,
			answer: "alias.apps.test. 300 CNAME Mail.apps.test.\nalias.apps.test. RRSIG CNAME labels 3 ttl 300/300\n" +
				"Mail.apps.test. 300 AAAA 2001:db8::2\nMail.apps.test. RRSIG AAAA labels 3 ttl 300/300\n",
		},
		{
			title: "an alias to elsewhere", name: "far", qtype: dns.TypeA,
			answer: "far.apps.test. 300 CNAME elsewhere.test.\nfar.apps.test. RRSIG CNAME labels 3 ttl 300/300\n",
		},
		{ // RFC 9824 section 3.1
			title: "no such name", name: "missing", qtype: dns.TypeA,
			authority: negativeSOA + `missing.apps.test. 60 NSEC \000.missing.apps.test. RRSIG NSEC NXNAME` + "\nmissing.apps.test. RRSIG NSEC labels 3 ttl 60/60\n",
		},
		{ // RFC 9824 section 5.1
			title: "no such name, to who knows", name: "missing", qtype: dns.TypeA, compactOK: true, rcode: dns.RcodeNameError,
			authority: negativeSOA + `missing.apps.test. 60 NSEC \000.missing.apps.test. RRSIG NSEC NXNAME` + "\nmissing.apps.test. RRSIG NSEC labels 3 ttl 60/60\n",
		},
		{ // RFC 9824 section 3.2
			title: "no such type", name: "mail", qtype: dns.TypeTXT,
			authority: negativeSOA + `mail.apps.test. 60 NSEC \000.mail.apps.test. A AAAA RRSIG NSEC` + "\nmail.apps.test. RRSIG NSEC labels 3 ttl 60/60\n",
		},
		{
			title: "no such type at the apex", name: "@", qtype: dns.TypeA,
			authority: negativeSOA + `apps.test. 60 NSEC \000.apps.test. NS SOA MX RRSIG NSEC DNSKEY` + "\napps.test. RRSIG NSEC labels 2 ttl 60/60\n",
		},
		{
			title: "an empty non-terminal", name: "down.ent", qtype: dns.TypeA,
			authority: negativeSOA + `down.ent.apps.test. 60 NSEC \000.down.ent.apps.test. RRSIG NSEC` + "\ndown.ent.apps.test. RRSIG NSEC labels 4 ttl 60/60\n",
		},
		{ // RFC 9824 section 3.3
			title: "a wildcard", name: "x.y.wild", qtype: dns.TypeA,
			answer: "x.y.wild.apps.test. 300 A 192.0.2.3\nx.y.wild.apps.test. RRSIG A labels 5 ttl 300/300\n",
		},
		{
			title: "a wildcard without the type", name: "x.wild", qtype: dns.TypeMX,
			authority: negativeSOA + `x.wild.apps.test. 60 NSEC \000.x.wild.apps.test. A TXT RRSIG NSEC` + "\nx.wild.apps.test. RRSIG NSEC labels 4 ttl 60/60\n",
		},
		{
			title: "a wildcard by its name", name: "*.wild", qtype: dns.TypeA,
			answer: "*.wild.apps.test. 300 A 192.0.2.3\n*.wild.apps.test. RRSIG A labels 3 ttl 300/300\n",
		},
		{
			title: "a name that looks like a wildcard", name: "*star", qtype: dns.TypeA,
			answer: "*star.apps.test. 300 A 192.0.2.4\n*star.apps.test. RRSIG A labels 3 ttl 300/300\n",
		},
		{ // RFC 9824 section 3.4
			title: "an unsigned delegation", name: "www.insecure", qtype: dns.TypeA,
			authority: "insecure.apps.test. 300 NS ns.insecure.apps.test.\n" +
				`insecure.apps.test. 60 NSEC \000.insecure.apps.test. NS RRSIG NSEC` + "\ninsecure.apps.test. RRSIG NSEC labels 3 ttl 60/60\n",
		},
		{
			title: "no key of a delegation", name: "insecure", qtype: dns.TypeDS,
			authority: negativeSOA + `insecure.apps.test. 60 NSEC \000.insecure.apps.test. NS RRSIG NSEC` + "\ninsecure.apps.test. RRSIG NSEC labels 3 ttl 60/60\n",
		},
		{
			title: "a signed delegation", name: "www.secure", qtype: dns.TypeA,
			authority: "secure.apps.test. 300 NS ns1.apps.test.\nsecure.apps.test. 300 NS ns.elsewhere.test.\n" +
				"secure.apps.test. 300 DS 1 13 2 0102030405060708091011121314151617181920212223242526272829303132\nsecure.apps.test. RRSIG DS labels 3 ttl 300/300\n",
		},
		{
			title: "a DNAME", name: "torename", qtype: dns.TypeA,
			answer: "torename.apps.test. 300 CNAME a.rename.apps.test.\ntorename.apps.test. RRSIG CNAME labels 3 ttl 300/300\n" +
				"rename.apps.test. 300 DNAME target.apps.test.\nrename.apps.test. RRSIG DNAME labels 3 ttl 300/300\n" +
				"a.rename.apps.test. 300 CNAME a.target.apps.test.\n" +
				"a.target.apps.test. 300 A 192.0.2.6\na.target.apps.test. RRSIG A labels 4 ttl 300/300\n",
		},
		{
			title: "a DNAME to nowhere", name: "b.rename", qtype: dns.TypeA,
			answer: "rename.apps.test. 300 DNAME target.apps.test.\nrename.apps.test. RRSIG DNAME labels 3 ttl 300/300\nb.rename.apps.test. 300 CNAME b.target.apps.test.\n",
			authority: negativeSOA +
				`b.target.apps.test. 60 NSEC \000.b.target.apps.test. RRSIG NSEC NXNAME` + "\nb.target.apps.test. RRSIG NSEC labels 4 ttl 60/60\n",
		},
		{
			title: "an alias to nowhere", name: "broken", qtype: dns.TypeA,
			answer: "broken.apps.test. 300 CNAME missing.apps.test.\nbroken.apps.test. RRSIG CNAME labels 3 ttl 300/300\n",
			authority: negativeSOA + `missing.apps.test. 60 NSEC \000.missing.apps.test. RRSIG NSEC NXNAME` +
				"\nmissing.apps.test. RRSIG NSEC labels 3 ttl 60/60\n",
		},
		{
			title: "the proof itself", name: "mail", qtype: dns.TypeNSEC,
			answer: `mail.apps.test. 60 NSEC \000.mail.apps.test. A AAAA RRSIG NSEC` + "\nmail.apps.test. RRSIG NSEC labels 3 ttl 60/60\n",
		},
		{
			title: "signatures", name: "mail", qtype: dns.TypeRRSIG,
			answer: "mail.apps.test. RRSIG NSEC labels 3 ttl 60/60\n",
		},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			qname := apps
			if c.name != "@" {
				qname = name(t, c.name+".apps.test.")
			}
			q := dnssec.Question{Name: qname, Type: c.qtype, CompactOK: c.compactOK}
			r := ask(t, signer, z, q, now)
			if r.Rcode != c.rcode {
				t.Errorf("rcode: got %s, want %s", dns.RcodeToString[r.Rcode], dns.RcodeToString[c.rcode])
			}
			if got := show(r.Answer); got != c.answer {
				t.Errorf("answer: got\n%swant\n%s", got, c.answer)
			}
			if got := show(r.Authority); got != c.authority {
				t.Errorf("authority: got\n%swant\n%s", got, c.authority)
			}
		})
	}
}

func TestSecure_KeepsGlueAndLeavesOutWhatIsOptional(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, dnssec.Options{})
	z := withKeys(t, newZone(t, apps, master), signer)
	r := ask(t, signer, z, dnssec.Question{Name: name(t, "www.insecure.apps.test."), Type: dns.TypeA}, now)
	if got, want := show(r.Additional), "ns.insecure.apps.test. 300 A 192.0.2.5\n"; got != want {
		t.Errorf("glue: got %q, want %q", got, want)
	}
	r = ask(t, signer, z, dnssec.Question{Name: apps, Type: dns.TypeMX}, now)
	if len(r.Additional) > 0 {
		t.Errorf("got %s, want nothing", show(r.Additional))
	}
}

func TestSecure_EveryAnswerIsValid(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, dnssec.Options{Rate: 1 << 30})
	keys := signer.DNSKEY()
	z := withKeys(t, newZone(t, apps, master), signer)
	names := []string{""}
	for n := range z.Nodes() {
		names = append(names, strings.TrimSuffix(n.Name.String(), "apps.test."))
	}
	types := []uint16{
		dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeTXT, dns.TypeCNAME, dns.TypeDNAME, dns.TypeDS, dns.TypeDNSKEY,
		dns.TypeSRV, dns.TypeNAPTR, dns.TypeHTTPS, 65280, dns.TypeANY,
	}
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.SampledFrom([]string{"", "", "a.", "B.", "*.", "loop.", "x.y.", "\\000."}).Draw(t, "label")
		origin := rapid.SampledFrom(names).Draw(t, "node")
		qname, err := zone.ParseName(label + origin + "apps.test.")
		if err != nil {
			t.Fatalf("%v", err)
		}
		q := dnssec.Question{Name: qname, Type: rapid.SampledFrom(types).Draw(t, "type"), CompactOK: rapid.Bool().Draw(t, "CO")}
		at := now.Add(time.Duration(rapid.Int64Range(-1e17, 1e17).Draw(t, "later")))
		r := ask(t, signer, z, q, at)
		if err := validate(&r, apps, keys, q, at); err != nil {
			t.Fatalf("%s %s: %v\n%s%s", q.Name, dns.Type(q.Type), err, show(r.Answer), show(r.Authority))
		}
	})
}

// TestSecure_SignsSetsInAnyFormAlike has the same records in another case and
// order, some of them twice.
func TestSecure_SignsSetsInAnyFormAlike(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, dnssec.Options{})
	z := withKeys(t, newZone(t, apps, master), signer)
	records := []string{
		"X 60 NS Ns.Example.NET.", "X 60 MX 5 Mail.Example.NET.", "X 60 SRV 1 2 3 Srv.Example.NET.", "X 60 RP Admin.Example.NET. Txt.Example.NET.",
		`X 60 NAPTR 1 2 "U" "Sip" "!^.*$!AB!" Rep.Example.NET.`, "X 60 PX 1 A.Example.NET. B.Example.NET.", "X 60 CNAME To.Example.NET.",
		"X 60 SOA Ns.Example.NET. Admin.Example.NET. 1414677841 1 1 1 1", `X 60 TXT "ABC"`, "X 60 TYPE65281 \\# 3 414243", "X 60 PTR P.Example.NET.",
		"X 60 DNAME D.Example.NET.", "X 60 AFSDB 1 Afs.Example.NET.", "X 60 KX 1 Kx.Example.NET.", "X 60 HTTPS 1 Svc.Example.NET. alpn=h2", "X 60 HINFO PC Linux",
	}
	rapid.Check(t, func(t *rapid.T) {
		template := rapid.SampledFrom(records).Draw(t, "record")
		var set []dns.RR
		for range rapid.IntRange(1, 4).Draw(t, "records") {
			rr, err := dns.NewRR("$ORIGIN apps.test.\n" + template)
			if err != nil {
				t.Fatalf("%v", err)
			}
			set = append(set, rr)
		}
		sign := func(set []dns.RR) []dns.RR {
			r := zone.Result{Answer: set}
			if _, err := signer.Secure(z, &r, dnssec.Question{}, now); err != nil {
				t.Fatalf("%v", err)
			}
			_, sigs := cutSet(&r.Answer)
			if err := validateSet(set[:1], sigs, signer.DNSKEY(), now); err != nil {
				t.Fatalf("%s: %v", template, err)
			}
			return sigs
		}
		before := show(set)
		once := sign(set[:1])
		other := dns.Copy(set[0])
		other.Header().Name = strings.ToLower(other.Header().Name)
		again := sign([]dns.RR{other})
		many := sign(set)
		if once[0].(*dns.RRSIG).Signature != many[0].(*dns.RRSIG).Signature || once[0].(*dns.RRSIG).Signature != again[0].(*dns.RRSIG).Signature {
			t.Fatalf("%s: signatures differ", template)
		}
		if after := show(set); after != before {
			t.Fatalf("the set was changed from\n%sto\n%s", before, after)
		}
	})
}

// TestSecure_AllReplicasGiveTheSameSignatures has a second signer with the
// same key.
func TestSecure_AllReplicasGiveTheSameSignatures(t *testing.T) {
	t.Parallel()
	key := generate(t, t.TempDir(), apps)
	one, err := dnssec.New(apps, []dnssec.Key{key}, dnssec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	two, err := dnssec.New(apps, []dnssec.Key{key}, dnssec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	z := withKeys(t, newZone(t, apps, master), one)
	for n := range z.Nodes() {
		q := dnssec.Question{Name: n.Name, Type: dns.TypeA}
		a, b := ask(t, one, z, q, now), ask(t, two, z, q, now)
		if !slices.EqualFunc(append(a.Answer, a.Authority...), append(b.Answer, b.Authority...), func(a, b dns.RR) bool { return a.String() == b.String() }) {
			t.Errorf("%s: answers differ", n.Name)
		}
	}
}

func TestSecure_IsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, dnssec.Options{Kept: 8, Rate: 1 << 30})
	z := withKeys(t, newZone(t, apps, master), signer)
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := range z.Nodes() {
				for _, qtype := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeDS} {
					q := dnssec.Question{Name: n.Name, Type: qtype}
					at := now.Add(time.Duration(i%2) * time.Hour)
					r := z.Lookup(q.Name, q.Type, first)
					if _, err := signer.Secure(z, &r, q, at); err != nil {
						t.Error(err)
					}
					if err := validate(&r, apps, signer.DNSKEY(), q, at); err != nil {
						t.Errorf("%s %s: %v", q.Name, dns.Type(qtype), err)
					}
				}
			}
		})
	}
	group.Wait()
}

func TestSecure_BoundsFloodsOfNames(t *testing.T) {
	t.Parallel()
	const bound = 50
	signer := newSigner(t, dnssec.Options{Kept: 10, Rate: bound})
	z := withKeys(t, newZone(t, apps, master), signer)
	ask(t, signer, z, dnssec.Question{Name: name(t, "mail.apps.test."), Type: dns.TypeTXT}, now)
	busy := 0
	for i := range 3 * bound {
		qname := name(t, strings.Repeat("x", 1+i%60)+"."+strings.Repeat("y", 1+i/60)+".apps.test.")
		r := z.Lookup(qname, dns.TypeA, first)
		_, err := signer.Secure(z, &r, dnssec.Question{Name: qname, Type: dns.TypeA}, now)
		if err != nil {
			if !errors.Is(err, dnssec.ErrBusy) {
				t.Fatal(err)
			}
			busy++
		}
	}
	if busy != 2*bound {
		t.Errorf("refused %d of %d within a second, want %d", busy, 3*bound, 2*bound)
	}
	if got, most := signer.Kept(), 4*10; got > most {
		t.Errorf("%d signatures are kept, want %d at most", got, most)
	}
	// Names that are there don't suffer.
	for _, there := range []string{"apps.test.", "mail.apps.test.", "many.apps.test.", "ent.apps.test.", "insecure.apps.test."} {
		ask(t, signer, z, dnssec.Question{Name: name(t, there), Type: dns.TypeTXT}, now)
	}
	// A second later there is room again; a clock that was set back does no harm.
	for _, at := range []time.Time{now.Add(time.Second), now.Add(-time.Hour), now.Add(2 * time.Second)} {
		ask(t, signer, z, dnssec.Question{Name: name(t, at.Format("150405")+".apps.test."), Type: dns.TypeA}, at)
	}
}
