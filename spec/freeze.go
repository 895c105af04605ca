package spec

import (
	"strings"
	"time"
)

// Freeze is a time in which nothing goes on, whatever the window says.
type Freeze struct {
	Name string `json:"name"`
	// From and To are dates or dates with times of day of the window's time zone,
	// such as "2026-12-23" or "2026-12-23T18:00". A date as To is that whole
	// day.
	From string `json:"from"`
	To   string `json:"to"`
	Why  string `json:"why"`
}

// Layouts of a freeze's dates, as package time has them.
const (
	dateOnly = time.DateOnly
	dateTime = "2006-01-02T15:04"
)

func (f *Freeze) form() form {
	return form{
		attrs: []attr{
			text("from", &f.From, momentRule()).must(),
			text("to", &f.To, momentRule()).must(),
			text("why", &f.Why, reasonRule()).must(),
		},
		check: f.validate,
	}
}

func (f *Freeze) validate(at scope) {
	from, _ := moment(f.From)
	to, whole := moment(f.To)
	if whole {
		to = to.AddDate(0, 0, 1)
	}
	if !from.Before(to) {
		at.wrong("to", "Freeze ends before it begins", "The freeze %q is from %s to %s. Let it end later than it begins.", f.Name, f.From, f.To)
	}
}

// moment reads a date with or without a time of day, as if it were of UTC. It is
// the zero time if s is neither.
func moment(s string) (t time.Time, wholeDay bool) {
	if t, err := time.Parse(dateOnly, s); err == nil {
		return t, true
	}
	t, err := time.Parse(dateTime, s)
	if err != nil || len(s) != len(dateTime) {
		return time.Time{}, false
	}
	return t, false
}

func momentRule() rule {
	return rule{
		want: "a date or a date with a time of day of the window's time zone, such as \"2026-12-23\" or \"2026-12-23T18:00\"",
		ok: func(s string) bool {
			t, _ := moment(s)
			return !t.IsZero()
		},
	}
}

// reasonRule is a text for people, which must say something.
func reasonRule() rule {
	r := lineRule().and(func(s string) bool { return strings.TrimSpace(s) != "" && len(s) <= 500 })
	r.want = "a text on one line that says why, of at most 500 bytes"
	return r
}
