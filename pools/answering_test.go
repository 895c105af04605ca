package pools_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"switchd/pools"
	"switchd/spec"
)

func drawHealth(t *rapid.T) map[string]pools.Pool {
	health := map[string]pools.Pool{}
	for _, colour := range []string{spec.Blue, spec.Green} {
		for i := range rapid.IntRange(0, 4).Draw(t, "nodes of "+colour) {
			health[colour] = append(health[colour], pools.Instance{
				Node: fmt.Sprintf("n%d", i), Port: rapid.IntRange(80, 81).Draw(t, "port"), Passing: rapid.Bool().Draw(t, "passing"),
				Address: rapid.SampledFrom([]string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "2001:db8::1", "0.0.0.0", "fe80::1%eth0", "ff02::1", "node.test", ""}).Draw(t, "address"),
				Version: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "version"),
			})
		}
	}
	return health
}

// usable is what clients can use of the passing nodes.
func usable(p pools.Pool, version string) map[netip.Addr]bool {
	found := make(map[netip.Addr]bool)
	for _, in := range p {
		addr, err := netip.ParseAddr(in.Address)
		if err == nil && in.Passing && addr.Zone() == "" && !addr.IsUnspecified() && !addr.IsMulticast() && (version == "" || in.Version == version) {
			found[addr.Unmap()] = true
		}
	}
	return found
}

func TestAnswering_HasWhoPassesAndNeverBecomesEmpty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var last *pools.Answering
		for range rapid.IntRange(1, 6).Draw(t, "looks") {
			health := drawHealth(t)
			next := last.Next(health)
			for _, colour := range []string{spec.Blue, spec.Green} {
				want, carried := usable(health[colour], ""), slices.Contains(next.Carried, colour)
				got := next.Pools[colour].Addresses("")
				switch {
				case last != nil && len(last.Pools[colour]) > 0 && len(want) == 0:
					if !carried || !slices.Equal(next.Pools[colour], last.Pools[colour]) {
						t.Fatalf("%s is %v, carried %t, was %v", colour, got, carried, last.Pools[colour])
					}
					continue
				case carried || len(got) != len(want):
					t.Fatalf("%s is %v, carried %t, want %v", colour, got, carried, want)
				}
				for _, addr := range got {
					if !want[addr] {
						t.Fatalf("%s is of no use, or not of a passing node", addr)
					}
				}
				if !slices.IsSortedFunc(got, netip.Addr.Compare) {
					t.Fatalf("not in order: %v", got)
				}
				one := usable(health[colour], "1")
				if len(one) == 0 {
					one = want
				}
				if ofOne := next.Pools[colour].Addresses("1"); len(ofOne) != len(one) {
					t.Fatalf("of version 1: %v, want %v", ofOne, one)
				}
			}
			// It survives Consul, and is the same whoever derives it.
			value, err := json.Marshal(next)
			if err != nil {
				t.Fatal(err)
			}
			read, err := pools.ParseAnswering(value, 7)
			if err != nil || !read.Same(next) || read.Index != 7 {
				t.Fatalf("got %+v (%v), wrote %+v", read, err, next)
			}
			if again := read.Next(health); !again.Same(next) {
				t.Fatalf("derived again: %+v, was %+v", again, next)
			}
			last = read
		}
	})
}

// FuzzParseAnswering holds the parser of what Consul holds to giving only what
// can be answered with.
func FuzzParseAnswering(f *testing.F) {
	f.Add([]byte(`{"pools":{"blue":[{"address":"192.0.2.1","port":80,"version":"1"}]},"carried":["blue"]}`))
	f.Add([]byte(`{"pools":{"red":[]}}`))
	f.Add([]byte(`{"pools":{"green":[{"address":""}]}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		a, err := pools.ParseAnswering(value, 1)
		if err != nil || a == nil {
			return
		}
		for colour, endpoints := range a.Pools {
			for _, addr := range endpoints.Addresses("") {
				if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || addr.Zone() != "" {
					t.Errorf("%s has %s", colour, addr)
				}
			}
		}
	})
}
