package ledger_test

import (
	"math"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/ledger"
)

// after tells whether serial a comes after b, RFC 1982 section 3.2 as it is
// written there.
func after(a, b uint32) bool {
	const half = 1 << 31
	return (a < b && b-a > half) || (a > b && a-b < half)
}

func TestNextSerial_AlwaysComesAfter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// Edges of either, and times that are exactly half the space away.
		now := rapid.OneOf(rapid.Uint32(), rapid.SampledFrom([]uint32{0, 1, math.MaxInt32, 1 << 31, math.MaxUint32})).Draw(t, "now")
		old := rapid.OneOf(rapid.Uint32(), rapid.SampledFrom([]uint32{0, 1, math.MaxInt32, 1 << 31, math.MaxUint32, now, now - 1, now + 1, now + 1<<31, now + 1<<31 + 1, now + 1<<31 - 1})).Draw(t, "old")
		epoch := rapid.Int64Range(0, 3).Draw(t, "epoch")
		next := ledger.NextSerial(old, time.Unix(epoch<<32|int64(now), 0))
		if next == 0 {
			t.Fatalf("%d gives 0", old)
		}
		// What has none yet is answered with 1.
		if !after(next, max(old, 1)) {
			t.Fatalf("%d at %d gives %d, which doesn't come after it", old, now, next)
		}
		if (after(now, max(old, 1)) && now != 0) != (next == now) && next != max(old, 1)+1 {
			t.Fatalf("%d at %d gives %d, want the time where it is ahead", old, now, next)
		}
	})
}

func FuzzParseSerial(f *testing.F) {
	for _, seed := range []string{"", "0", "1", "4294967295", "4294967296", "-1", "+1", "1e9", " 1", "0x1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		serial, err := ledger.ParseSerial(text)
		if err != nil || len(text) == 0 {
			if serial != 0 {
				t.Fatalf("%q: %d came with %v", text, serial, err)
			}
			return
		}
		again, err := ledger.ParseSerial([]byte(strconv.FormatUint(uint64(serial), 10)))
		if err != nil || again != serial {
			t.Fatalf("%q: %d, written again %d (%v)", text, serial, again, err)
		}
	})
}
