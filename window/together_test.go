package window_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/spec"
	"switchd/window"
)

// days are how many days windows are walked through.
const days = 9

// several are windows, and a moment on the first day of those to be walked through;
// clocks are put forward two days later.
func several(t *rapid.T) (start, now time.Time, all []spec.Window) {
	start = time.Date(2027, 3, 26, 0, 0, 0, 0, time.UTC)
	now = start.Add(time.Duration(rapid.IntRange(0, 24*60).Draw(t, "minute")) * time.Minute)
	for range rapid.IntRange(0, 3).Draw(t, "windows") {
		all = append(all, spec.Window{
			Days:     rapid.SampledFrom([][]string{nil, {"mon"}, {"sat", "sun"}, {"mon", "tue", "wed"}}).Draw(t, "days"),
			From:     rapid.SampledFrom([]string{"00:00", "02:30", "09:00", "22:00"}).Draw(t, "from"),
			To:       rapid.SampledFrom([]string{"02:45", "10:00", "17:00", "24:00"}).Draw(t, "to"),
			TimeZone: rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "Asia/Kathmandu"}).Draw(t, "zone"),
		})
	}
	return start, now, all
}

func open(t *rapid.T, all []spec.Window, at time.Time) bool {
	open := true
	for _, w := range all {
		s, err := window.At(w, at)
		if err != nil {
			t.Fatal(err)
		}
		open = open && s.Open
	}
	return open
}

// quarter is the next full quarter of an hour.
func quarter(t time.Time) time.Time { return t.Truncate(15 * time.Minute).Add(15 * time.Minute) }

// TestTogether_IsTheFirstMomentAtWhichAllAreOpen compares it with a walk, by the
// quarters of an hour at which all these windows open and close.
func TestTogether_IsTheFirstMomentAtWhichAllAreOpen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start, now, all := several(t)
		want := time.Time{}
		for at := now; at.Before(start.AddDate(0, 0, days)); at = quarter(at) {
			if open(t, all, at) {
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

// TestAfter_CountsTheTimeInWhichAllAreOpen compares it with a walk, too.
func TestAfter_CountsTheTimeInWhichAllAreOpen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start, since, all := several(t)
		d := time.Duration(rapid.IntRange(0, 60*60).Draw(t, "minutes")) * time.Minute
		got := window.After(all, since, d)
		left := d
		for at := since; at.Before(start.AddDate(0, 0, days)); at = quarter(at) {
			if !open(t, all, at) {
				continue
			}
			if took := quarter(at).Sub(at); left > took {
				left -= took
				continue
			}
			if want := at.Add(left); !got.Equal(want) {
				t.Fatalf("got %s, want %s, %s after %s of %+v", got, want, d, since, all)
			}
			return
		}
		if !got.IsZero() && got.Before(start.AddDate(0, 0, days)) {
			t.Fatalf("got %s, which is too early: %s after %s of %+v", got, d, since, all)
		}
	})
}

func TestTogether_IsNeverForWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	lost := []spec.Window{{TimeZone: "Atlantis/Capital"}}
	if at := window.Together(lost, time.Now()); !at.IsZero() {
		t.Errorf("got %s", at)
	}
	if at := window.After(lost, time.Now(), time.Hour); !at.IsZero() {
		t.Errorf("got %s", at)
	}
}
