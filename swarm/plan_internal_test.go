package swarm

import (
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"pgregory.net/rapid"
)

// pieces draws some of the first n pieces.
func pieces(t *rapid.T, n int, label string) *roaring.Bitmap {
	some := roaring.New()
	for i, in := range rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, label) {
		if in {
			some.AddInt(i)
		}
	}
	return some
}

func TestPlan_AsksForTheOwnShareAndThenHelpsTheSlow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(t, "pieces")
		of := rapid.IntRange(1, 40).Draw(t, "nodes")
		missing := pieces(t, n, "missing")
		held := roaring.And(missing, pieces(t, n, "held"))
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		order = rapid.Permutation(order).Draw(t, "order")
		shares := roaring.New()
		for rank := range of {
			share := roaring.New()
			for i := rank; i < n; i += of {
				share.AddInt(i)
			}
			share.And(missing)
			first := position{rank: rank, of: of, asks: true}.first(missing, held, order)
			if !roaring.AndNot(share, first).IsEmpty() {
				t.Fatalf("%d of %d asks for %v, its share is %v", rank, of, first, share)
			}
			help := roaring.AndNot(first, share)
			switch {
			case !roaring.AndNot(help, held).IsEmpty():
				t.Fatalf("%d of %d helps with %v, held are %v", rank, of, help, held)
			case share.Intersects(held) && !help.IsEmpty():
				t.Fatalf("%d of %d helps with %v though its share %v is held", rank, of, help, share)
			case !share.Intersects(held) && help.GetCardinality() < min(held.GetCardinality(), minHelp):
				t.Fatalf("%d of %d helps with %v only, held are %v", rank, of, help, held)
			case help.GetCardinality() > max(minHelp, held.GetCardinality()/uint64(of)):
				t.Fatalf("%d of %d takes %v of %v", rank, of, help, held)
			}
			shares.Or(share)
		}
		if !shares.Equals(missing) {
			t.Fatalf("together they ask for %v of %v", shares, missing)
		}
	})
}
