package dnsflip

import (
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/spec"
)

func flip(blue, green int, blueAddr, greenAddr bool) Flip {
	f := Flip{Live: spec.Blue, Weights: map[string]int{spec.Blue: blue, spec.Green: green}, Pools: map[string][]netip.Addr{}}
	if blueAddr {
		f.Pools[spec.Blue] = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	}
	if greenAddr {
		f.Pools[spec.Green] = []netip.Addr{netip.MustParseAddr("192.0.2.2")}
	}
	return f
}

// leads tells where each of n answers for web leads to.
func leads(t *testing.T, f Flip, n int, rnd func() uint64) map[string]int {
	t.Helper()
	v := View{Zone: spec.Zone{Name: "apps.test", TTL: spec.Duration(time.Minute)}}
	f.TTL = spec.Duration(5 * time.Second)
	nodes, err := flipNodes(&v, "web", f)
	if err != nil {
		t.Fatal(err)
	}
	web := nodes[len(nodes)-1]
	got := map[string]int{}
	for range n {
		set := web.Set(dns.TypeCNAME)
		if len(web.Choices) > 0 {
			_, choice := draw(web.Choices, rnd)
			set = web.Choices[choice].Sets[0].RRs
		}
		for _, rr := range set {
			got[rr.(*dns.CNAME).Target]++
		}
	}
	return got
}

func TestFlip_ChoosesByWeight(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for green := range 101 {
		r := rand.New(rand.NewPCG(1, uint64(green)))
		got := leads(t, flip(100-green, green, true, true), n, r.Uint64)["web-green.apps.test."]
		p := float64(green) / 100
		bound := 4 * math.Sqrt(n*p*(1-p)) // four standard deviations; none at 0 and 100 %
		if math.Abs(float64(got)-n*p) > bound {
			t.Errorf("%d %%: %d of %d, want %.0f ± %.0f", green, got, n, n*p, bound)
		}
	}
}

func TestFlip_PassesOverEmptyPools(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what string
		flip Flip
		want []string
	}{
		{"both have nodes", flip(95, 5, true, true), []string{"web-blue.apps.test.", "web-green.apps.test."}},
		{"the canary is empty", flip(95, 5, true, false), []string{"web-blue.apps.test."}},
		{"the live pool is empty", flip(95, 5, false, true), []string{"web-green.apps.test."}},
		{"both are empty", flip(95, 5, false, false), []string{"web-blue.apps.test.", "web-green.apps.test."}},
		{"a pool without a share never helps out", flip(100, 0, false, true), []string{"web-blue.apps.test."}},
		{"without weights", Flip{Live: spec.Green}, []string{"web-green.apps.test."}},
		{"without a live release", Flip{Weights: map[string]int{spec.Blue: 100}}, nil},
	} {
		got := leads(t, tt.flip, 1000, rand.New(rand.NewPCG(1, 2)).Uint64)
		if !slices.Equal(slices.Sorted(maps.Keys(got)), tt.want) {
			t.Errorf("%s: chose %v, want %v", tt.what, got, tt.want)
		}
	}
}

func TestFlip_EqualLooksAtEachField(t *testing.T) {
	t.Parallel()
	whole := Flip{
		Service: "web", Live: spec.Blue, TTL: spec.Duration(time.Second), PoolName: "pool", Port: 80, Carried: []string{spec.Blue},
		Weights: map[string]int{spec.Blue: 100}, Targets: map[string]string{spec.Blue: "b"}, Pools: map[string][]netip.Addr{spec.Blue: {netip.MustParseAddr("192.0.2.1")}},
	}
	if !whole.equal(whole) {
		t.Error("not equal to itself")
	}
	for i := range reflect.TypeFor[Flip]().NumField() {
		field := reflect.TypeFor[Flip]().Field(i)
		other := whole
		value := reflect.ValueOf(&other).Elem().Field(i)
		if value.IsZero() {
			t.Fatalf("%s isn't set above", field.Name)
		}
		value.SetZero()
		if whole.equal(other) || other.equal(whole) {
			t.Errorf("%s isn't looked at", field.Name)
		}
	}
}
