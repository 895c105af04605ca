package zone_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"switchd/zone"
)

const top = "@ 60 SOA ns hm 1 2 3 4 5\n@ 60 NS ns.example.net.\n"

func TestParse_NamesThePlaceOfAFault(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		top + "; a comment\n\na A 192.0.2.1\n\n  \n(\nb A\n)\n": "zone:8: ",
		top + "a A (\n 192.0.2.1 )\nb A 300.0.0.1\n":            "zone:5: ",
		top + "a CNAME b\na A 192.0.2.1\n":                      "zone:3: a.z.test. has a CNAME and A",
		top + "a CNAME b\n\na CNAME c\n":                        "zone:5: a.z.test. has more than one CNAME",
		top + "a DNAME b\n; and\na DNAME c\n":                   "zone:5: a.z.test. has more than one DNAME",
		top + "@ CNAME b\n":                                     "z.test. has a CNAME and NS",
		top + "@ 60 SOA ns hm 2 2 3 4 5\n":                      "zone:3: z.test. has more than one SOA",
		top + "a 60 SOA ns hm 2 2 3 4 5\n":                      "zone:3: a.z.test. has a SOA record",
		top + "a.example.net. A 192.0.2.1\n":                    "zone:3: a.example.net. is outside of the zone z.test.",
		top + "a CH A 192.0.2.1\n":                              "zone:3: a.z.test. has class CH",
		top + "a A\n":                                           "zone:3: a.z.test. A has no data",
		top + "a 4294967295 A 192.0.2.1\n":                      "zone:3: a.z.test. A has a TTL of 4294967295",
		top + "a TYPE41 \\# 0\n":                                "zone:3: a.z.test. OPT is for messages",
		top + "$TTL 5\n$GENERATE 1-3 a$ A 192.0.2.300\n":        "zone:4: ",
		top + "$GENERATE 1-1 a \\$INCLUDE other\n":              "zone:3: $GENERATE can't make a $INCLUDE",
		top + "$INCLUDE other\n":                                "zone:3: $INCLUDE directive not allowed",
		top + "a TXT (\n" + strings.Repeat("\n", 1<<20):         "zone:3: the record is longer",
		"@ 60 NS ns.example.net.\n":                             "no SOA record at z.test.",
		"@ 60 SOA ns hm 1 2 3 4 5\n":                            "no NS record at z.test.",
	} {
		_, err := zone.Parse(strings.NewReader(text), name(t, "z.test."), "zone")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: got %v, want %q", text, err, want)
		}
	}
}

func TestParse_ServesWhatIsOddWithAWarning(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a 10 A 192.0.2.1\na 5 A 192.0.2.2\n":     "zone:3: a.z.test. A has records with different TTLs: all get 5 s",
		"a A 192.0.2.1\nb TXT x\nA A 192.0.2.1\n": "zone:5: a.z.test. A stands here again",
		"d DNAME e\nb.d TXT x\n":                  "zone:4: b.d.z.test. TXT is below d.z.test., which hides it",
		"d NS ns.d\nns.d A 192.0.2.1\nd.d MX 1 d": "zone:5: d.d.z.test. MX is below d.z.test., which hides it",
		"m MX 10 a\na CNAME b\n":                  "zone:3: m.z.test. MX names a.z.test., which is an alias",
		"d NS x.example.\nd DNAME e\n":            "zone:3: d.z.test. has NS and DNAME",
		"*.d NS x.example.\n":                     "zone:3: *.d.z.test. has NS or DNAME",
		"@ NSEC a NS SOA\n":                       "zone:1: z.test. is signed",
	} {
		z := parse(t, "z.test.", top+text)
		if got := z.Warnings(); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	signed := parse(t, "z.test.", top+"a 9 RRSIG A 13 3 9 20300101000000 20200101000000 1 @ AAAA\na 8 RRSIG TXT 13 3 8 20300101000000 20200101000000 1 @ AAAA\n")
	if r := signed.Lookup(name(t, "a.z.test."), dns.TypeRRSIG, nil); len(r.Answer) != 2 || r.Answer[0].Header().Ttl != 9 || r.Answer[1].Header().Ttl != 8 {
		t.Errorf("got %v, want each signature with its own TTL", r.Answer)
	}
	z := parse(t, "z.test.", top+"a 10 TXT x\na 5 TXT X\na 7 TXT x\n")
	if r := z.Lookup(name(t, "a.z.test."), dns.TypeTXT, nil); section(r.Answer) == "" || len(r.Answer) != 2 || r.Answer[0].Header().Ttl != 5 || r.Answer[1].Header().Ttl != 5 {
		t.Errorf("got %v, want both spellings once with the lowest TTL", r.Answer)
	}
}

func TestParse_BoundsItsMessages(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", top+"$GENERATE 1-100 a DNAME b\n"+"d DNAME e\n$GENERATE 1-100 a$.d TXT x\n")
	if got := z.Warnings(); len(got) != 21 || !strings.HasPrefix(got[20], "and ") {
		t.Errorf("got %d warnings, the last %q", len(got), got[len(got)-1])
	}
}

func TestParse_UnderstandsTheDirectives(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", top+`$TTL 7
$GENERATE 1-2 a$ A 192.0.2.$
$GENERATE 3-3 a$ IN A 192.0.2.$
$GENERATE 4-4 a$ 9 A 192.0.2.$
$GENERATE 5-5 a$ 9 IN A 192.0.2.$
$GENERATE 6-6 a$ TXT "$  x"
$ORIGIN Sub.Z.test.
$TTL 1h
B A 192.0.2.9
   AAAA 2001:db8::1
c TXT "with ; and ( and
a newline" ; comment
d A 192.0.2.8`)
	for owner, want := range map[string]string{
		"a1.z.test.":    "a1.z.test. 7 in a 192.0.2.1",
		"a2.z.test.":    "a2.z.test. 7 in a 192.0.2.2",
		"a3.z.test.":    "a3.z.test. 7 in a 192.0.2.3",
		"a4.z.test.":    "a4.z.test. 9 in a 192.0.2.4",
		"a5.z.test.":    "a5.z.test. 9 in a 192.0.2.5",
		"b.sub.z.test.": "b.sub.z.test. 3600 in a 192.0.2.9",
		"d.sub.z.test.": "d.sub.z.test. 3600 in a 192.0.2.8",
	} {
		if got := section(z.Lookup(name(t, owner), dns.TypeA, nil).Answer); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if txt, ok := z.Lookup(name(t, "a6.z.test."), dns.TypeTXT, nil).Answer[0].(*dns.TXT); !ok || txt.Txt[0] != "6  x" || txt.Hdr.Ttl != 7 {
		t.Errorf("got %v, want the blanks as they are", txt)
	}
	if rr := z.Lookup(name(t, "b.sub.z.test."), dns.TypeAAAA, nil).Answer[0]; rr.Header().Name != "B.Sub.Z.test." {
		t.Errorf("got %s, want the owner as it is written", rr.Header().Name)
	}
	for owner, want := range map[string]string{"a2": "zone:4", "a6": "zone:8", "b.sub": "zone:11", "c.sub": "zone:13", "d.sub": "zone:15"} {
		if got := z.Place(name(t, owner+".z.test.")); got != want {
			t.Errorf("%s is at %s, want %s", owner, got, want)
		}
	}
}

func TestParse_GivesAllRecordsTheSOAFirst(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", "b A 192.0.2.1\n"+top+"a A 192.0.2.1\n")
	var got []string
	for rr := range z.Records() {
		got = append(got, rr.Header().Name+" "+dns.TypeToString[rr.Header().Rrtype])
	}
	if want := []string{"z.test. SOA", "z.test. NS", "b.z.test. A", "a.z.test. A"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseFile_IncludesFilesBesideItAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(file, text string) string {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("secret", "a TXT secret\n")
	write("zones/hosts", "a A 192.0.2.1\n\n$INCLUDE more/hosts\nb A 192.0.2.2\n")
	write("zones/more/hosts", "\nc A 192.0.2.3\n")
	write("zones/bad", "\n\na A what\n")
	write("zones/self", "$INCLUDE self\n")
	main := func(text string) (*zone.Zone, error) {
		return zone.ParseFile(write("zones/main", top+text), name(t, "z.test."))
	}

	z, err := main("$INCLUDE hosts sub\nd A 192.0.2.4\n")
	if err != nil {
		t.Fatal(err)
	}
	for owner, want := range map[string]string{"a.sub": "zones/hosts:1", "b.sub": "zones/hosts:4", "c.sub": "zones/more/hosts:2", "d": "zones/main:4"} {
		if got := z.Place(name(t, owner+".z.test.")); got != filepath.Join(dir, want) {
			t.Errorf("%s is at %s, want %s", owner, got, want)
		}
	}
	for text, want := range map[string]string{
		"$INCLUDE bad\n":                         "zones/bad:3: ",
		"a A 192.0.2.1\n$INCLUDE ../secret\n":    "zones/main:4: ",
		"$INCLUDE " + dir + "/secret\n":          "zones/main:3: ",
		"$INCLUDE none\n":                        "zones/main:3: ",
		"$INCLUDE self\n":                        "$INCLUDE",
		"$GENERATE 1-1 \\$INCLUDE ../secret b\n": "zones/main:3: ",
	} {
		if _, err := main(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "TXT") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := zone.ParseFile(filepath.Join(dir, "none"), name(t, "z.test.")); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestNode_IsFoundWithoutAllocation(t *testing.T) {
	z := parse(t, "z.test.", smallZone)
	over, err := z.With(8, []*zone.Node{node(t, "a.b.z.test. 5 A 192.0.2.1")})
	if err != nil {
		t.Fatal(err)
	}
	exact, below := []byte(name(t, "a.b.z.test.")), []byte(name(t, strings.Repeat("x.", 100)+"b.z.test."))
	if allocs := testing.AllocsPerRun(100, func() {
		if over.Node(exact) == nil || over.Encloser(below).Name != enclosing {
			t.Error("not found")
		}
	}); allocs != 0 {
		t.Errorf("got %v allocations, want none", allocs)
	}
}

// enclosing is b.z.test.
const enclosing zone.Name = "\x01b\x01z\x04test\x00"

func FuzzParse(f *testing.F) {
	f.Add(top + smallZone)
	f.Add(wildcardZone)
	f.Add(top + "$TTL 1\n$GENERATE 1-3/2 a${0,3,x} 5 A 10.0.0.$\n")
	f.Add(top + "a TXT ( \"x;\\\"\" ; y\n z )\n$ORIGIN b\n@ TYPE65280 \\# 2 abcd\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(strings.ToUpper(text), "$GENERATE") && len(text) > 200 {
			return // many records of few bytes: slow, and bounded
		}
		z, err := zone.Parse(strings.NewReader(text), name(t, "z.test."), "zone")
		if err != nil {
			return
		}
		// What is served must be found, be packed, and hold together.
		for rr := range z.Records() {
			owner := name(t, rr.Header().Name)
			if z.Node([]byte(owner)) == nil || z.Place(owner) == "" {
				t.Fatalf("%s is not where it was written", owner)
			}
			r := z.Lookup(owner, rr.Header().Rrtype, nil)
			m := dns.Msg{Answer: r.Answer, Ns: r.Authority, Extra: r.Additional}
			if _, err := m.Pack(); err != nil && !strings.Contains(err.Error(), "overflow") {
				t.Fatalf("%s: %v", rr, err)
			}
		}
	})
}

func TestRead_TakesWhatIsNoWholeZone(t *testing.T) {
	t.Parallel()
	records, err := zone.Read(strings.NewReader("\na A 192.0.2.1\nb A 192.0.2.2\n"), name(t, "z.test."), "part")
	if err != nil || len(records) != 2 || records[1].File != "part" || records[1].Line != 3 {
		t.Errorf("got %+v (%v), want two records with their places", records, err)
	}
}
