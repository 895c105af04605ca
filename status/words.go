package status

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"switchd/rollout"
)

// sameMoment is how far apart a phase's beginning and its wait's may be to be
// told as one: the planner writes them one after the other.
const sameMoment = 2 * time.Second

// Line says where the rollout is and since when, what it waits for, until when
// and what happens then. Times of day are in now's location.
func (r *Rollout) Line(now time.Time) string {
	if r.Phase.Ended() {
		return join(fmt.Sprintf("%s %s ago", r.Phase, Span(now.Sub(r.Entered))), r.Outcome)
	}
	parts := []string{fmt.Sprintf("%s since %s", r.Phase, Span(now.Sub(r.Entered)))}
	if h := r.Halt; h != nil {
		parts = append(parts, fmt.Sprintf("in %s, by %s: %s", h.Phase, h.By, h.Why))
	}
	until, then := r.Deadline, r.Then
	if w := r.Wait; w != nil {
		until, then = w.Until, w.Then
		since := ""
		if apart := w.Since.Sub(r.Entered); apart.Abs() >= sameMoment {
			since = "since " + Span(now.Sub(w.Since)) + " "
		}
		parts = append(parts, "waits "+since+w.For)
	}
	if until.IsZero() {
		return join(append(parts, "without a deadline")...)
	}
	return join(append(parts, fmt.Sprintf("until %s (%s), then %s", Clock(until, now), left(until.Sub(now)), then))...)
}

// join leaves out what is empty.
func join(parts ...string) string {
	var said []string
	for _, p := range parts {
		if p != "" {
			said = append(said, p)
		}
	}
	return strings.Join(said, " · ")
}

// Clock is a time of day, with its date if that is not today's.
func Clock(t, now time.Time) string {
	t = t.In(now.Location())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

func left(d time.Duration) string {
	if d < 0 {
		return Span(-d) + " over"
	}
	return "in " + Span(d)
}

// Span writes a duration for people, with its two largest units from days to
// seconds. A negative one, which clocks that differ can give, is none.
func Span(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	for _, unit := range []struct {
		size, next time.Duration
		name, less string
	}{
		{24 * time.Hour, time.Hour, "d", "h"},
		{time.Hour, time.Minute, "h", "m"},
		{time.Minute, time.Second, "m", "s"},
	} {
		if d < unit.size {
			continue
		}
		text := fmt.Sprintf("%d%s", d/unit.size, unit.name)
		if rest := d % unit.size / unit.next; rest > 0 {
			text += fmt.Sprintf("%d%s", rest, unit.less)
		}
		return text
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// Printable has nothing that breaks a table or steers a terminal: what a health
// check answers, or a file says, is not ours.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// look is how a phase is painted.
func look(p rollout.Phase) style {
	switch p {
	case rollout.Done:
		return good
	case rollout.Failed, rollout.Halted, rollout.RolledBack:
		return bad
	default:
		return notable
	}
}
