package spec

import (
	"strings"
	"time"
	_ "time/tzdata" // time zones are the same on every machine, also where none are installed
)

// Window lets a rollout go on at some times only.
type Window struct {
	Hold

	Name string `json:"name"`
	// Days are "mon" to "sun"; empty: all.
	Days []string `json:"days,omitempty"`
	// From and To are times of day, such as "09:00"; To may be "24:00", and
	// before From: then it is over midnight, and belongs to the day it begins
	// on. Both empty: the whole day.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// TimeZone is a name of the IANA time zone database, such as
	// "Europe/Berlin"; "UTC" if not set.
	TimeZone string   `json:"time_zone"`
	Freezes  []Freeze `json:"freezes,omitempty"` // sorted by name
}

// Days are the days of a week, in its order.
func Days() []string { return []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} }

func (w *Window) form() form {
	return form{
		attrs: []attr{
			w.points(),
			ordered(texts("days", &w.Days, oneOf(Days()...), true), &w.Days, Days()),
			timesOfDay("hours", &w.From, &w.To),
			text("time_zone", &w.TimeZone, zoneNameRule()),
		},
		blocks: []nested{
			listed("freeze", labelRule(), &w.Freezes, defaultFreeze, func(f Freeze) string { return f.Name }),
		},
		check: w.validate,
	}
}

func (w *Window) validate(at scope) {
	w.own(at)
	if len(w.Days) == 0 && w.From == "" && len(w.Freezes) == 0 {
		at.wrong("", "Window always open", "The window %q has neither days nor hours nor a freeze, so that it would never be closed. Add one, such as: hours = \"09:00-17:00\"", w.Name)
	}
}

// String is when the window is open.
func (w *Window) String() string {
	var parts []string
	if len(w.Days) > 0 {
		parts = append(parts, strings.Join(w.Days, ", "))
	}
	if w.From != "" {
		parts = append(parts, w.From+"-"+w.To)
	}
	if len(parts) == 0 {
		parts = append(parts, "always")
	}
	parts = []string{strings.Join(append(parts, w.TimeZone), " ")}
	for _, f := range w.Freezes {
		parts = append(parts, "but for "+f.Name)
	}
	return strings.Join(parts, ", ")
}

// cutTimes reads "09:00-17:00".
func cutTimes(s string) (from, to string, ok bool) {
	from, to, ok = strings.Cut(s, "-")
	return from, to, ok && timeOfDay(from) && (timeOfDay(to) || to == "24:00") && from != to
}

func timeOfDay(s string) bool {
	_, err := time.Parse("15:04", s)
	return err == nil && len(s) == len("15:04")
}

// zoneNameRule takes no "Local", which is another one on every machine.
func zoneNameRule() rule {
	return rule{
		want: "a name of the IANA time zone database, such as \"Europe/Berlin\" or \"UTC\"",
		ok: func(s string) bool {
			_, err := time.LoadLocation(s)
			return err == nil && s != "" && s != time.Local.String()
		},
	}
}
