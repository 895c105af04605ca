package consul_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"switchd/consul"
)

// TestDiffer_TellsEachKeyThatIsNotAsItWas, and no other: whoever takes in what it
// tells has what is there.
func TestDiffer_TellsEachKeyThatIsNotAsItWas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		folder := rapid.MapOf(rapid.SampledFrom([]string{"a", "b", "c", "d"}), rapid.Uint64Range(1, 3))
		known, have := make(map[string]uint64), make(map[string]uint64)
		for range rapid.IntRange(1, 5).Draw(t, "looks") {
			there := folder.Draw(t, "there")
			var seen []consul.Entry
			for _, key := range slices.Sorted(maps.Keys(there)) {
				seen = append(seen, consul.Entry{Key: key, Index: there[key], Value: []byte(key)})
			}
			for _, e := range consul.Differ(known, seen) {
				if have[e.Key] == e.Index {
					t.Fatalf("%s is told, and is as it was", e.Key)
				}
				if have[e.Key] = e.Index; e.Index == 0 {
					delete(have, e.Key)
				}
				if gone := e.Index == 0; gone == (string(e.Value) == e.Key) {
					t.Fatalf("%s has the value %q at index %d", e.Key, e.Value, e.Index)
				}
			}
			if !maps.Equal(have, there) || !maps.Equal(known, there) {
				t.Fatalf("told of %v, known are %v, there are %v", have, known, there)
			}
		}
	})
}
