package dnsflip

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

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

func TestAlias_ChoosesByWeight(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for green := range 101 {
		r := rand.New(rand.NewPCG(1, uint64(green)))
		a := newAlias("web", "apps.test", flip(100-green, green, true, true))
		got := 0
		for range n {
			if a.choose(r) == "web-green.apps.test." {
				got++
			}
		}
		p := float64(green) / 100
		bound := 4 * math.Sqrt(n*p*(1-p)) // four standard deviations; none at 0 and 100 %
		if math.Abs(float64(got)-n*p) > bound {
			t.Errorf("%d %%: %d of %d, want %.0f ± %.0f", green, got, n, n*p, bound)
		}
	}
}

func TestAlias_PassesOverEmptyPools(t *testing.T) {
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
	} {
		a := newAlias("web", "apps.test", tt.flip)
		r := rand.New(rand.NewPCG(1, 2))
		got := map[string]bool{}
		for range 1000 {
			got[a.choose(r)] = true
		}
		if len(got) != len(tt.want) {
			t.Errorf("%s: chose %v, want %v", tt.what, got, tt.want)
		}
		for _, name := range tt.want {
			if !got[name] {
				t.Errorf("%s: chose %v, want %v", tt.what, got, tt.want)
			}
		}
	}
	if a := newAlias("web", "apps.test", Flip{Weights: map[string]int{spec.Blue: 100}}); a != nil {
		t.Errorf("without a live release: %v, want no CNAME", a)
	}
}
