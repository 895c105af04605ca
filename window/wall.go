package window

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/spec"
)

// wall is what a clock on the wall shows with its date: the seconds since 1970 that
// it would have counted, had it never been put forward or back.
type wall int64

const wallDay = wall(24 * 60 * 60)

func wallAt(t time.Time, zone *time.Location) wall {
	_, offset := t.In(zone).Zone()
	return wall(t.Unix() + int64(offset))
}

// day is the midnight at which the clock's day begins.
func (w wall) day() wall {
	into := w % wallDay
	if into < 0 {
		into += wallDay
	}
	return w - into
}

func (w wall) weekday() time.Weekday { return time.Unix(int64(w), 0).UTC().Weekday() }

func (w wall) String() string { return time.Unix(int64(w), 0).UTC().Format("2006-01-02 15:04") }

// hours is a window as the clock on the wall tells it.
type hours struct {
	zone     *time.Location
	days     [7]bool // by time.Weekday, on which it begins
	from, to wall    // within a day; to is smaller if it is over midnight
	freezes  []freeze
	words    string
}

// freeze is a time in which the window is shut.
type freeze struct {
	name, why string
	from, to  wall // to does not belong to it
}

func (h hours) open(at wall) bool { return h.within(at) && h.frozen(at) == nil }

func (h hours) within(at wall) bool {
	today := at.day()
	clock := at - today
	if h.from < h.to {
		return h.days[at.weekday()] && h.from <= clock && clock < h.to
	}
	yesterday := today - wallDay
	return h.days[at.weekday()] && h.from <= clock || h.days[yesterday.weekday()] && clock < h.to
}

// frozen is the freeze in force; of several the one that lasts longest.
func (h hours) frozen(at wall) *freeze {
	var last *freeze
	for i := range h.freezes {
		if f := &h.freezes[i]; f.from <= at && at < f.to && (last == nil || f.to > last.to) {
			last = f
		}
	}
	return last
}

// edge is the next time after at that the clock shows at which the window may open
// or close.
func (h hours) edge(at wall) wall {
	today := at.day()
	next := today + wallDay
	sooner := func(edge wall) {
		if at < edge && edge < next {
			next = edge
		}
	}
	sooner(today + h.from)
	sooner(today + h.to)
	for _, f := range h.freezes {
		sooner(f.from)
		sooner(f.to)
	}
	return next
}

func (f freeze) words(zone *time.Location) string {
	text := fmt.Sprintf("freeze %q until %s %s", f.name, f.to, zone)
	if f.why != "" {
		text += ": " + f.why
	}
	return text
}

// read compiles a window.
func read(w spec.Window) (hours, error) {
	h := hours{}
	wrong := func(err error) (hours, error) { return hours{}, fmt.Errorf("window %q: %w", w.Name, err) }
	var err error
	if h.zone, err = location(w.TimeZone); err != nil {
		return wrong(err)
	}
	if h.days, err = weekdays(w.Days); err != nil {
		return wrong(err)
	}
	if h.from, err = timeOfDay("from", cmp.Or(w.From, "00:00"), false); err != nil {
		return wrong(err)
	}
	if h.to, err = timeOfDay("to", cmp.Or(w.To, "24:00"), true); err != nil {
		return wrong(err)
	}
	if h.from == h.to {
		return wrong(fmt.Errorf("it is from %s to %s, which is no time at all: leave both away for the whole day", w.From, w.To))
	}
	for _, declared := range w.Freezes {
		f := freeze{name: declared.Name, why: declared.Why}
		if f.from, err = date("from", declared.From, 0); err == nil {
			f.to, err = date("to", declared.To, wallDay)
		}
		if err != nil {
			return wrong(fmt.Errorf("freeze %q: %w", f.name, err))
		}
		h.freezes = append(h.freezes, f)
	}
	h.words = words(w)
	return h, nil
}

// location doesn't know "Local", which is another zone on each machine.
func location(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("time_zone %q is another one on each machine; expected a name such as \"Europe/Berlin\", or \"UTC\"", name)
	}
	zone, err := time.LoadLocation(name) // "" is UTC
	if err != nil {
		return nil, fmt.Errorf("time_zone %q is not in the time zone database; expected a name such as \"Europe/Berlin\": %w", name, err)
	}
	return zone, nil
}

func weekdays(names []string) (days [7]bool, err error) {
	for _, name := range names {
		i := slices.Index(spec.Days(), name)
		if i < 0 {
			return days, fmt.Errorf("day %q: expected one of %s", name, strings.Join(spec.Days(), ", "))
		}
		days[(i+1)%7] = true // a time.Weekday, and those begin on Sunday
	}
	if len(names) == 0 {
		return [7]bool{true, true, true, true, true, true, true}, nil
	}
	return days, nil
}

func timeOfDay(name, text string, end bool) (wall, error) {
	if end && text == "24:00" {
		return wallDay, nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, fmt.Errorf("%s %q: expected a time of day such as \"09:00\"", name, text)
	}
	return wall(t.Hour()*60*60 + t.Minute()*60), nil
}

// date reads a date, which lasts whole, or a date with a time of day.
func date(name, text string, whole wall) (wall, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return wall(t.Unix()) + whole, nil
	}
	t, err := time.Parse("2006-01-02T15:04", text)
	if err != nil {
		return 0, fmt.Errorf("%s %q: expected a date such as \"2026-12-23\", or \"2026-12-23T18:00\"", name, text)
	}
	return wall(t.Unix()), nil
}

// words are the days and hours for people, such as "mon-fri 09:00-17:00
// Europe/Berlin".
func words(w spec.Window) string {
	var parts []string
	if days := dayWords(w.Days); days != "" {
		parts = append(parts, days)
	}
	if w.From != "" || w.To != "" {
		parts = append(parts, cmp.Or(w.From, "00:00")+"-"+cmp.Or(w.To, "24:00"))
	}
	if len(parts) == 0 {
		parts = append(parts, "all days")
	}
	return strings.Join(append(parts, cmp.Or(w.TimeZone, "UTC")), " ")
}

// dayWords joins days that follow each other.
func dayWords(days []string) string {
	var text []string
	all := spec.Days()
	for i := 0; i < len(all); i++ {
		first := i
		for i < len(all) && slices.Contains(days, all[i]) {
			i++
		}
		switch i - first {
		case 0:
		case 1:
			text = append(text, all[first])
		default:
			text = append(text, all[first]+"-"+all[i-1])
		}
	}
	return strings.Join(text, ",")
}
