package zone_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"switchd/zone"
)

// hosts is a zone of that many names with an address each.
func hosts(count int) string {
	var b strings.Builder
	b.WriteString(top)
	for i := range count {
		fmt.Fprintf(&b, "host%d A 10.%d.%d.%d\n", i, i>>16&255, i>>8&255, i&255)
	}
	return b.String()
}

func BenchmarkParse(b *testing.B) {
	const count = 1_000_000
	text := hosts(count)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := zone.Parse(strings.NewReader(text), name(b, "z.test."), "zone"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkEncloser(b *testing.B) {
	z := parse(b, "z.test.", hosts(1<<16))
	over, err := z.With(8, []*zone.Node{node(b, "web.z.test. 5 A 192.0.2.1")})
	if err != nil {
		b.Fatal(err)
	}
	asked := make([][]byte, 1<<12)
	for i := range asked {
		asked[i] = []byte(name(b, fmt.Sprintf("host%d.z.test.", rand.IntN(1<<16))))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		over.Encloser(asked[i&(1<<12-1)])
		i++
	}
}

func BenchmarkWith(b *testing.B) {
	z := parse(b, "z.test.", hosts(1<<16))
	laid := []*zone.Node{
		node(b, "web.z.test. 5 CNAME web-blue.z.test."),
		node(b, "web-blue.z.test. 5 A 192.0.2.1"), node(b, "web-green.z.test. 5 A 192.0.2.2"),
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := z.With(8, laid); err != nil {
			b.Fatal(err)
		}
	}
}
