package window_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/spec"
	"switchd/window"
)

// TestTogether_IsTheFirstMomentAtWhichAllAreOpen compares it with a walk, by the
// quarters of an hour at which all these windows open and close.
func TestTogether_IsTheFirstMomentAtWhichAllAreOpen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const days = 9
		start := time.Date(2027, 3, 26, 0, 0, 0, 0, time.UTC) // clocks are put forward two days later
		now := start.Add(time.Duration(rapid.IntRange(0, 24*60).Draw(t, "minute")) * time.Minute)
		var all []spec.Window
		for range rapid.IntRange(0, 3).Draw(t, "windows") {
			all = append(all, spec.Window{
				Days:     rapid.SampledFrom([][]string{nil, {"mon"}, {"sat", "sun"}, {"mon", "tue", "wed"}}).Draw(t, "days"),
				From:     rapid.SampledFrom([]string{"00:00", "02:30", "09:00", "22:00"}).Draw(t, "from"),
				To:       rapid.SampledFrom([]string{"02:45", "10:00", "17:00", "24:00"}).Draw(t, "to"),
				TimeZone: rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "Asia/Kathmandu"}).Draw(t, "zone"),
			})
		}
		want := time.Time{}
		for at := now; at.Before(start.AddDate(0, 0, days)); at = at.Truncate(15 * time.Minute).Add(15 * time.Minute) {
			open := true
			for _, w := range all {
				s, err := window.At(w, at)
				if err != nil {
					t.Fatal(err)
				}
				open = open && s.Open
			}
			if open {
				want = at
				break
			}
		}
		got := window.Together(all, now)
		if !want.IsZero() && !got.Equal(want) || want.IsZero() && !got.IsZero() && got.Before(start.AddDate(0, 0, days)) {
			t.Fatalf("got %s, want %s, of %+v", got, want, all)
		}
	})
}

func TestTogether_IsNeverForWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	if at := window.Together([]spec.Window{{TimeZone: "Atlantis/Capital"}}, time.Now()); !at.IsZero() {
		t.Errorf("got %s", at)
	}
}
