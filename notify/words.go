package notify

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"switchd/rollout"
	"switchd/spec"
)

// Bounds of a notice's text, in bytes.
const (
	maxSubject = 200
	maxBody    = 3000
	maxWidth   = 900 // of a line: RFC 5321 section 4.5.3.1.6 has 1,000 for mail
)

// notice puts an event into words.
func (f Facts) notice(e Event, k Key, again bool, now time.Time) Notice {
	r := f.Record
	w := words{Facts: f, now: now}
	subject := ""
	switch e.Name {
	case spec.EventWaiting:
		subject = w.waiting(*e.Gate)
	case spec.EventHalted:
		subject = w.halted()
	default:
		subject = w.past(e)
	}
	if again {
		subject = "still " + subject
	}
	if f.Page != "" {
		w.line("Page: %s", f.Page)
	}
	return Notice{
		Key: k, Environment: f.Environment, Service: r.Service, Version: r.Version, Again: again,
		Subject: tame(fmt.Sprintf("[%s] %s", f.Environment, subject), maxSubject, false),
		Body:    tame(strings.Join(w.lines, "\n"), maxBody, true),
	}
}

// words is the text of one notice.
type words struct {
	Facts

	now   time.Time
	lines []string
}

// line adds one line, whatever the values in it have.
func (w *words) line(format string, args ...any) {
	w.lines = append(w.lines, strings.NewReplacer("\r", " ", "\n", " ").Replace(fmt.Sprintf(format, args...)))
}

// command is a line to be typed.
func (w *words) command(format string, args ...any) {
	w.line("  switchd --env %s "+format, append([]any{w.Environment}, args...)...)
}

func (w *words) waiting(g rollout.GateState) string {
	r := w.Record
	place := map[string]string{
		spec.PointRoll: "nodes are replaced", spec.PointSwitch: "the switch", spec.PointSwitched: "the old pool drains", "converge": "the other pool is rolled",
	}[g.Point]
	if share, ok := strings.CutPrefix(g.Point, spec.PointWeight+" "); ok {
		place = "it gets " + share + " % of the users"
	}
	w.line("%s %s, on its way to pool %s in %s, waits for %s %q before %s.", r.Service, r.Version, r.Pool, w.Environment, g.Kind, g.Name, cmp.Or(place, g.Point))
	if g.Why != "" {
		w.line("Missing: %s", g.Why)
	}
	w.since(g.Since)
	switch {
	case g.Until.IsZero():
		w.line("Until: it ends, there is no deadline")
	case g.Then == "":
		w.line("Until: %s", w.time(g.Until))
	default:
		w.line("Until: %s, then: %s", w.time(g.Until), g.Then)
	}
	if g.Owner != "" {
		w.line("Asked for by: %s", g.Owner)
	}
	if g.Kind == spec.GateApproval {
		w.line("To end it, if you may approve it:")
		w.command("approve %s --gate %s", r.Service, g.Name)
		w.command("approve %s --gate %s --deny --why REASON", r.Service, g.Name)
	} else {
		w.line("It goes on by itself. Who may bypass gates can have it go on now, which is recorded:")
		w.command("promote %s %s --bypass %s --why REASON", r.Service, r.Version, g.Name)
	}
	w.line("To see more:")
	w.command("status %s", r.Service)
	return fmt.Sprintf("%s %s waits for %s %s", r.Service, r.Version, g.Kind, g.Name)
}

func (w *words) halted() string {
	r := w.Record
	w.line("The rollout of %s %s to pool %s in %s stands still.", r.Service, r.Version, r.Pool, w.Environment)
	if h := r.Halt; h != nil {
		w.line("Why: %s", h.Why)
		w.line("Halted by: %s, in phase %s", h.By, h.Phase)
		w.since(h.At)
	}
	if r.SwitchedAt.IsZero() {
		w.line("Users are on %s.", r.From)
	} else {
		w.line("Users are on %s.", r.Target())
	}
	w.line("It waits for a person, without a deadline:")
	w.command("resume %s", r.Service)
	w.command("rollback %s", r.Service)
	return fmt.Sprintf("%s %s is halted", r.Service, r.Version)
}

// past is about what has happened.
func (w *words) past(e Event) string {
	r := w.Record
	name := r.Service + " " + r.Version
	subject := map[string]string{
		spec.EventBegun: "begins", spec.EventSwitched: "is live", spec.EventDone: "is done",
		spec.EventFailed: "failed", spec.EventRolledBack: "was rolled back",
	}[e.Name]
	switch e.Name {
	case spec.EventBegun:
		w.line("%s goes to pool %s in %s; users are on %s.", name, r.Pool, w.Environment, r.From)
		w.line("Promoted by: %s", r.By)
		w.command("status %s --watch", r.Service)
	case spec.EventSwitched:
		w.line("Users in %s are on %s, which all that lead them there have shown.", w.Environment, r.Target())
		if r.From.Pool != "" {
			w.line("%s stays up for a rollback until the bake of %s has ended:", r.From, w.Spec.Bake)
			w.command("rollback %s", r.Service)
		}
	case spec.EventRolledBack:
		why := r.Outcome
		if l := w.Live; l != nil && l.RolledBack && l.Rollout == r.ID {
			w.line("Users in %s are on %s again.", w.Environment, l.Side())
			w.line("By: %s", l.By)
			why = cmp.Or(l.Why, why)
		} else {
			w.line("Users in %s are on %s again.", w.Environment, r.From)
		}
		w.line("Why: %s", why)
	default:
		w.line("%s in %s %s: %s", name, w.Environment, subject, cmp.Or(r.Outcome, "no reason is known"))
	}
	w.line("At: %s", w.time(e.Since))
	if e.Name == spec.EventFailed || e.Name == spec.EventRolledBack {
		w.line("What each decision was made on:")
		w.command("history %s 1 -v", r.Service)
	}
	return name + " " + subject
}

func (w *words) since(at time.Time) { w.line("Since: %s", w.time(at)) }

// time is a time for people, with how far away it is.
func (w *words) time(at time.Time) string {
	text := at.UTC().Format("2006-01-02 15:04:05 UTC")
	switch away := at.Sub(w.now).Round(time.Second); {
	case away >= time.Minute:
		text += fmt.Sprintf(" (in %s)", away)
	case away <= -time.Minute:
		text += fmt.Sprintf(" (%s ago)", -away)
	}
	return text
}
