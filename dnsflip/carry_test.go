package dnsflip_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"switchd/dnsflip"
	"switchd/spec"
)

// genView makes valid views of one zone with up to four services.
func genView() *rapid.Generator[dnsflip.View] {
	return rapid.Custom(func(t *rapid.T) dnsflip.View {
		v := testView(rapid.Uint32().Draw(t, "serial"), spec.Blue)
		v.Flips = map[string]dnsflip.Flip{}
		labels := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"web", "api", "a", "x-1"}), rapid.ID).Draw(t, "labels")
		for _, label := range labels {
			f := dnsflip.Flip{
				Service: rapid.SampledFrom([]string{label, "other"}).Draw(t, "service"),
				Live:    rapid.SampledFrom([]string{"", spec.Blue, spec.Green}).Draw(t, "live"),
				TTL:     v.Zone.TTL,
				Pools:   map[string][]netip.Addr{},
			}
			if rapid.Bool().Draw(t, "weighted") {
				w := rapid.IntRange(0, 100).Draw(t, "weight")
				f.Weights = map[string]int{spec.Blue: w, spec.Green: 100 - w}
			}
			for _, pool := range []string{spec.Blue, spec.Green} {
				f.Pools[pool] = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) netip.Addr {
					return netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "octet")})
				}), 0, 3).Draw(t, pool)
			}
			v.Flips[label] = f
		}
		return v
	})
}

func clone(t interface{ Fatal(...any) }, v dnsflip.View) dnsflip.View {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out dnsflip.View
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCarry_NeverEmptiesAPool(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		old, next := genView().Draw(t, "old"), genView().Draw(t, "new")
		oldBefore, nextBefore := clone(t, old), clone(t, next)
		got := dnsflip.Carry(old, next)
		if !reflect.DeepEqual(clone(t, old), oldBefore) || !reflect.DeepEqual(clone(t, next), nextBefore) {
			t.Fatal("an argument was changed")
		}
		if err := got.Validate(); err != nil {
			t.Fatal(err)
		}
		if len(got.Flips) != len(next.Flips) || got.Serial != next.Serial {
			t.Fatalf("got %v of %v", got, next)
		}
		for label, f := range got.Flips {
			wanted, before := next.Flips[label], old.Flips[label]
			if f.Live != wanted.Live || !reflect.DeepEqual(f.Weights, wanted.Weights) {
				t.Fatalf("%s: the live pool or its weights have changed: %v, want %v", label, f, wanted)
			}
			for _, pool := range []string{spec.Blue, spec.Green} {
				want := set(wanted.Pools[pool])
				carried := len(want) == 0 && before.Service == wanted.Service && len(before.Pools[pool]) > 0
				if carried {
					want = set(before.Pools[pool])
				}
				if !reflect.DeepEqual(set(f.Pools[pool]), want) {
					t.Fatalf("%s %s: %v, want %v", label, pool, f.Pools[pool], want)
				}
				if slices.Contains(f.Carried, pool) != carried {
					t.Fatalf("%s: carried %v, but %s carried is %t", label, f.Carried, pool, carried)
				}
			}
		}
		if again := dnsflip.Carry(old, got); !reflect.DeepEqual(again.Flips, got.Flips) {
			t.Fatalf("carried again: %v, want %v", again.Flips, got.Flips)
		}
	})
}

func set(addrs []netip.Addr) map[netip.Addr]bool {
	s := map[netip.Addr]bool{}
	for _, a := range addrs {
		s[a] = true
	}
	return s
}

func TestCarry_EndsWhenANodePasses(t *testing.T) {
	t.Parallel()
	full, empty, other := testView(1, spec.Green), testView(2, spec.Green), testView(3, spec.Green)
	empty.Flips["web"].Pools[spec.Green] = nil
	other.Flips["web"].Pools[spec.Green] = addrs("192.0.2.99")
	v := dnsflip.Carry(dnsflip.Carry(full, empty), empty) // it stays empty
	if got := v.Flips["web"]; !slices.Equal(got.Pools[spec.Green], full.Flips["web"].Pools[spec.Green]) || !slices.Equal(got.Carried, []string{spec.Green}) {
		t.Errorf("while empty: %v", got)
	}
	v = dnsflip.Carry(v, other)
	if got := v.Flips["web"]; !slices.Equal(got.Pools[spec.Green], addrs("192.0.2.99")) || got.Carried != nil {
		t.Errorf("after a node passes: %v", got)
	}
}
