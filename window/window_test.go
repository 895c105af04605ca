package window_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/spec"
	"switchd/window"
)

// zones have clocks that are put forward and back by an hour or by half of one,
// in either half of the year, at midnight, more than twice a year, or never.
func zones() []string {
	return []string{
		"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
		"America/Santiago", "Africa/Casablanca", "Africa/Cairo", "Pacific/Chatham",
	}
}

// walked is whether a window is open by what a clock on the wall shows, as text.
func walked(w spec.Window, zone *time.Location, t time.Time) bool {
	local := t.In(zone)
	clock, date := local.Format("15:04"), local.Format("2006-01-02")
	for _, f := range w.Freezes {
		now := date + "T" + clock
		before := now < f.To
		if len(f.To) == len(date) {
			before = date <= f.To
		}
		if now >= f.From && before {
			return false
		}
	}
	begins := func(daysAgo int) bool {
		day := time.Date(local.Year(), local.Month(), local.Day()-daysAgo, 12, 0, 0, 0, time.UTC).Format("Mon")
		return len(w.Days) == 0 || strings.Contains(strings.Join(w.Days, " "), strings.ToLower(day))
	}
	from, to := w.From, w.To
	if from == "" {
		from = "00:00"
	}
	if to == "" {
		to = "24:00"
	}
	if from < to {
		return begins(0) && from <= clock && clock < to
	}
	return begins(0) && from <= clock || begins(1) && clock < to
}

// timeOfDay is one at which clocks like to be changed, or any.
func timeOfDay() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"00:00", "00:30", "01:00", "01:30", "01:59", "02:00", "02:15", "02:30", "03:00", "03:30", "23:00", "23:59"}),
		rapid.Custom(func(t *rapid.T) string {
			return time.Unix(rapid.Int64Range(0, 24*60-1).Draw(t, "minute")*60, 0).UTC().Format("15:04")
		}),
	)
}

// moment is one within two weeks of a change of the clock, or any.
func moment() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		changes := []string{"2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01", "2026-02-15", "2026-03-22", "2026-04-24", "2026-09-06", "2027-01-01"}
		near, err := time.Parse(time.DateOnly, rapid.SampledFrom(changes).Draw(t, "near"))
		if err != nil {
			t.Fatal(err)
		}
		return near.Add(time.Duration(rapid.Int64Range(-3*24*60*60, 3*24*60*60).Draw(t, "seconds")) * time.Second)
	})
}

func declared() *rapid.Generator[spec.Window] {
	return rapid.Custom(func(t *rapid.T) spec.Window {
		w := spec.Window{
			Name:     "hours",
			TimeZone: rapid.SampledFrom(zones()).Draw(t, "zone"),
			Days:     rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}), 0, 7, rapid.ID[string]).Draw(t, "days"),
		}
		if rapid.Bool().Draw(t, "hours") {
			w.From, w.To = timeOfDay().Draw(t, "from"), rapid.OneOf(timeOfDay(), rapid.Just("24:00")).Draw(t, "to")
			if w.From == w.To {
				w.To = "24:00"
			}
		}
		for range rapid.IntRange(0, 2).Draw(t, "freezes") {
			from := moment().Draw(t, "freeze from")
			to := from.Add(time.Duration(rapid.IntRange(1, 8*24*60).Draw(t, "freeze minutes")) * time.Minute)
			layouts := rapid.SampledFrom([]string{"2006-01-02", "2006-01-02T15:04"})
			w.Freezes = append(w.Freezes, spec.Freeze{
				Name: "f", From: from.Format(layouts.Draw(t, "from as")), To: to.Format(layouts.Draw(t, "to as")), Why: "stocktaking",
			})
		}
		return w
	})
}

// TestAt_FindsWhatAWalkByMinutesFinds compares with a walk that looks at the clock
// each minute of three weeks.
func TestAt_FindsWhatAWalkByMinutesFinds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, now := declared().Draw(t, "window"), moment().Draw(t, "now")
		zone, err := time.LoadLocation(w.TimeZone)
		if err != nil {
			t.Fatal(err)
		}
		got, err := window.At(w, now)
		if err != nil {
			t.Fatal(err)
		}
		if want := walked(w, zone, now); got.Open != want {
			t.Fatalf("%s: open is %t, want %t: %s", now.In(zone), got.Open, want, got.Why)
		}
		const far = 21 * 24 * time.Hour
		at := now.Truncate(time.Minute).Add(time.Minute)
		for walked(w, zone, at) == got.Open && at.Sub(now) < far {
			at = at.Add(time.Minute)
		}
		if at.Sub(now) >= far {
			if !got.Changes.IsZero() && got.Changes.Before(at) {
				t.Fatalf("%s: it changes at %s, and does not change before %s", now.In(zone), got.Changes, at.In(zone))
			}
			return
		}
		if !got.Changes.Equal(at) {
			t.Fatalf("%s: it changes at %s, want %s", now.In(zone), got.Changes, at.In(zone))
		}
	})
}

func TestAt_GoesByTheClockOnTheWall(t *testing.T) {
	t.Parallel()
	type moments struct{ now, changes string }
	for name, c := range map[string]struct {
		window spec.Window
		at     moments
		open   bool
		why    string
	}{
		"OnAnOrdinaryMorning": {
			spec.Window{Days: []string{"mon", "tue", "wed", "thu", "fri"}, From: "09:00", To: "17:00", TimeZone: "Europe/Berlin"},
			moments{"2026-06-05T08:59:59+02:00", "2026-06-05T09:00:00+02:00"},
			false, "outside of mon-fri 09:00-17:00 Europe/Berlin",
		},
		"OverTheWeekend": {
			spec.Window{Days: []string{"mon", "tue", "wed", "thu", "fri"}, From: "09:00", To: "17:00", TimeZone: "Europe/Berlin"},
			moments{"2026-06-05T17:00:00+02:00", "2026-06-08T09:00:00+02:00"},
			false, "outside of mon-fri 09:00-17:00 Europe/Berlin",
		},
		"OverMidnightIntoADayThatIsNotNamed": {
			spec.Window{Days: []string{"fri"}, From: "22:00", To: "04:00", TimeZone: "UTC"},
			moments{"2026-06-06T03:00:00Z", "2026-06-06T04:00:00Z"},
			true, "within fri 22:00-04:00 UTC",
		},
		"FromATimeThatThisNightDoesNotHave": { // 02:00 is followed by 03:00
			spec.Window{From: "02:30", To: "06:00", TimeZone: "Europe/Berlin"},
			moments{"2026-03-29T01:59:00+01:00", "2026-03-29T03:00:00+02:00"},
			false, "outside of 02:30-06:00 Europe/Berlin",
		},
		"ForATimeThatThisNightDoesNotHave": {
			spec.Window{From: "02:15", To: "02:45", TimeZone: "Europe/Berlin"},
			moments{"2026-03-29T01:59:00+01:00", "2026-03-30T02:15:00+02:00"},
			false, "outside of 02:15-02:45 Europe/Berlin",
		},
		"UntilAClockThatIsPutBack": { // 03:00 is followed by 02:00
			spec.Window{From: "01:00", To: "02:30", TimeZone: "Europe/Berlin"},
			moments{"2026-10-25T02:29:00+02:00", "2026-10-25T02:30:00+02:00"},
			true, "within 01:00-02:30 Europe/Berlin",
		},
		"AgainInTheHourThatIsThereTwice": {
			spec.Window{From: "01:00", To: "02:30", TimeZone: "Europe/Berlin"},
			moments{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00"},
			false, "outside of 01:00-02:30 Europe/Berlin",
		},
		"WhereTheClockIsPutBackByHalfAnHour": {
			spec.Window{From: "01:45", To: "24:00", TimeZone: "Australia/Lord_Howe"},
			moments{"2026-04-05T01:50:00+11:00", "2026-04-05T01:30:00+10:30"},
			true, "within 01:45-24:00 Australia/Lord_Howe",
		},
		"WhereAnHourBeginsAtAQuarterTo": {
			spec.Window{From: "09:00", To: "17:00", TimeZone: "Asia/Kathmandu"},
			moments{"2026-06-05T03:14:59Z", "2026-06-05T03:15:00Z"},
			false, "outside of 09:00-17:00 Asia/Kathmandu",
		},
		"InAFreezeOfWholeDays": {
			spec.Window{TimeZone: "Europe/Berlin", Freezes: []spec.Freeze{{Name: "holidays", From: "2026-12-23", To: "2026-12-27", Why: "nobody is in"}}},
			moments{"2026-12-27T23:59:59+01:00", "2026-12-28T00:00:00+01:00"},
			false, `freeze "holidays" until 2026-12-28 00:00 Europe/Berlin: nobody is in`,
		},
		"InAFreezeThatEndsOutsideOfTheHours": {
			spec.Window{
				From: "09:00", To: "17:00", TimeZone: "America/New_York",
				Freezes: []spec.Freeze{{Name: "launch", From: "2026-11-26", To: "2026-11-27T18:00"}, {Name: "short", From: "2026-11-26", To: "2026-11-26"}},
			},
			moments{"2026-11-26T12:00:00-05:00", "2026-11-28T09:00:00-05:00"},
			false, `freeze "launch" until 2026-11-27 18:00 America/New_York`,
		},
		"WhenAFreezeShutsIt": {
			spec.Window{Freezes: []spec.Freeze{{Name: "holidays", From: "2026-12-23T18:00", To: "2026-12-27"}}},
			moments{"2026-12-01T12:00:00Z", "2026-12-23T18:00:00Z"},
			true, "within all days UTC",
		},
		"Always": {
			spec.Window{},
			moments{"2026-12-01T12:00:00Z", ""},
			true, "within all days UTC",
		},
		"Never": {
			spec.Window{Freezes: []spec.Freeze{{Name: "end of life", From: "2026-01-01", To: "2039-12-31"}}},
			moments{"2026-12-01T12:00:00Z", ""},
			false, `freeze "end of life" until 2040-01-01 00:00 UTC; it does not open within two years`,
		},
		"AfterMoreThanAYear": {
			spec.Window{From: "09:00", Days: []string{"sun", "tue"}, Freezes: []spec.Freeze{{Name: "merger", From: "2026-01-01", To: "2027-12-31"}}},
			moments{"2026-01-02T12:00:00Z", "2028-01-02T09:00:00Z"},
			false, `freeze "merger" until 2028-01-01 00:00 UTC`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, err := time.Parse(time.RFC3339, c.at.now)
			if err != nil {
				t.Fatal(err)
			}
			got, err := window.At(c.window, now)
			if err != nil {
				t.Fatal(err)
			}
			if got.Open != c.open || got.Why != c.why {
				t.Errorf("got %t, %q, want %t, %q", got.Open, got.Why, c.open, c.why)
			}
			var want time.Time
			if c.at.changes != "" {
				if want, err = time.Parse(time.RFC3339, c.at.changes); err != nil {
					t.Fatal(err)
				}
			}
			if !got.Changes.Equal(want) {
				t.Errorf("it changes at %s, want %s", got.Changes, want)
			}
		})
	}
}

func TestAt_SaysWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	for want, w := range map[string]spec.Window{
		`window "w": time_zone "Europe/Berln" is not in the time zone database`: {TimeZone: "Europe/Berln"},
		`window "w": time_zone "Local" is another one on each machine`:          {TimeZone: "Local"},
		`window "w": day "monday": expected one of mon, tue`:                    {Days: []string{"monday"}},
		`window "w": from "9:00": expected a time of day such as "09:00"`:       {From: "9:00"},
		`window "w": from "24:00": expected a time of day`:                      {From: "24:00", To: "10:00"},
		`window "w": to "25:00": expected a time of day`:                        {To: "25:00"},
		`window "w": it is from 09:00 to 09:00, which is no time at all`:        {From: "09:00", To: "09:00"},
		`window "w": freeze "f": from "soon": expected a date such as`:          {Freezes: []spec.Freeze{{Name: "f", From: "soon", To: "2026-01-01"}}},
		`window "w": freeze "f": to "": expected a date such as`:                {Freezes: []spec.Freeze{{Name: "f", From: "2026-01-01"}}},
	} {
		w.Name = "w"
		if _, err := window.At(w, time.Now()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q…", err, want)
		}
	}
}

// FuzzAt has any texts as a window: it never panics, and what it says it holds to.
func FuzzAt(f *testing.F) {
	f.Add("mon", "09:00", "17:00", "Europe/Berlin", "2026-12-23", "2026-12-27T18:00", int64(1_790_000_000))
	f.Add("sun", "22:00", "04:00", "Australia/Lord_Howe", "2026-04-05", "2026-04-05", int64(1_775_313_000))
	f.Add("", "", "24:00", "", "", "", int64(0))
	f.Fuzz(func(t *testing.T, day, from, to, zone, freezeFrom, freezeTo string, unix int64) {
		now := time.Unix(unix%(1<<34), 0)
		w := spec.Window{Days: []string{day}, From: from, To: to, TimeZone: zone, Freezes: []spec.Freeze{{From: freezeFrom, To: freezeTo}}}
		got, err := window.At(w, now)
		if err != nil || got.Changes.IsZero() {
			return
		}
		if !got.Changes.After(now) {
			t.Fatalf("it changes at %s, before %s", got.Changes, now)
		}
		then, err := window.At(w, got.Changes)
		if err != nil {
			t.Fatal(err)
		}
		just, err := window.At(w, got.Changes.Add(-time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if then.Open == got.Open || just.Open != got.Open {
			t.Fatalf("open is %t at %s, %t a second before %s, %t at that", got.Open, now, just.Open, got.Changes, then.Open)
		}
	})
}
