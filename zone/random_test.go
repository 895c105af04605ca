package zone_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"switchd/zone"
)

// question is a name and a type.
type question struct {
	name  zone.Name
	qtype uint16
}

// fataler is a test, or a try of a property.
type fataler interface{ Fatal(args ...any) }

func name(tb fataler, presentation string) zone.Name {
	n, err := zone.ParseName(presentation)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// labels are few, so that what is generated meets.
var labels = [...]string{"a", "b", "c", "*"}

// questionTypes are those that matter to the algorithm, and one that is
// nowhere.
var questionTypes = [...]uint16{
	dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeNS, dns.TypeCNAME, dns.TypeDNAME,
	dns.TypeTXT, dns.TypeMX, dns.TypeDS, dns.TypeSOA, dns.TypeAAAA, dns.TypeSRV,
}

// randomQuestion asks for a name of the zone, or one up to three labels below
// it.
func randomQuestion(rng *rand.Rand, z *zone.Zone) question {
	var names []zone.Name
	for node := range z.Nodes() {
		names = append(names, node.Name)
	}
	n := names[rng.IntN(len(names))]
	for range rng.IntN(4) {
		n = zone.Name("\x01"+labels[rng.IntN(len(labels))]) + n
	}
	return question{name: n, qtype: questionTypes[rng.IntN(len(questionTypes))]}
}

// randomZone writes a master file of a few records. Below returns a number
// from 0 to below n.
func randomZone(below func(n int) int, origin string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "@ 300 SOA ns.outside.example. hm 1 2 3 4 60\n@ 300 NS ns.outside.example.\n")
	in := func() string {
		var n strings.Builder
		for range below(4) {
			n.WriteString(labels[below(len(labels))] + ".")
		}
		return n.String() + origin
	}
	target := func() string {
		if below(8) == 0 {
			return "x.outside.example."
		}
		return in()
	}
	for range 1 + below(8) {
		owner := in()
		switch kind := below(12); {
		case kind == 0:
			fmt.Fprintf(&b, "%s 11 AAAA 2001:db8::%d\n", owner, below(250))
		case kind == 1:
			fmt.Fprintf(&b, "%s 12 TXT t%d\n", owner, below(250))
		case kind <= 3 && owner != origin:
			fmt.Fprintf(&b, "%s 13 NS %s\n", owner, target())
		case kind <= 5:
			fmt.Fprintf(&b, "%s 14 CNAME %s\n", owner, target())
		case kind <= 7:
			fmt.Fprintf(&b, "%s 15 DNAME %s\n", owner, target())
		case kind == 8:
			fmt.Fprintf(&b, "%s 16 MX 10 %s\n", owner, target())
		case kind == 9 && owner != origin:
			fmt.Fprintf(&b, "%s 17 DS 1 13 2 %064d\n", owner, below(250))
		default:
			fmt.Fprintf(&b, "%s 10 A 192.0.2.%d\n", owner, below(250))
		}
	}
	return b.String()
}

// brief writes what has to be the same in all answers to a question.
func brief(r zone.Result) string {
	return fmt.Sprintf("%s aa=%v | %s | %s", dns.RcodeToString[r.Rcode], r.Authoritative, section(r.Answer), section(r.Authority))
}

func section(rrs []dns.RR) string {
	lines := make([]string, len(rrs))
	for i, rr := range rrs {
		lines[i] = strings.Join(strings.Fields(strings.ToLower(rr.String())), " ")
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "; ") // Knot says a loop over and over
}
