package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/rollout"
	"switchd/spec"
	"switchd/status"
)

// waits says what is waited for, until when, and who or what can end it.
func (t teller) waits() *Waits {
	r := t.Record
	if r.Phase == rollout.Halted && r.Halt != nil {
		return &Waits{For: []string{"It waits for a person to resume it or to roll it back."}, Since: r.Halt.At, Who: []string{t.people()}}
	}
	w := &Waits{Since: r.Entered, Until: r.Deadline, Then: r.Then}
	if r.Wait != nil {
		w.For = []string{sentence("It waits " + r.Wait.For)}
		w.Since, w.Until, w.Then = r.Wait.Since, r.Wait.Until, r.Wait.Then
	}
	for _, g := range r.Waiting() {
		w.Who = append(w.Who, t.whoOpens(g))
	}
	if len(w.Who) == 0 {
		w.Who = t.who()
	}
	return w
}

// whoOpens says who or what lets the rollout through a gate.
func (t teller) whoOpens(g rollout.GateState) string {
	text := fmt.Sprintf("Gate %s, before %s", g.Name, g.Point)
	if g.Owner != "" {
		text += ", of " + g.Owner
	}
	switch g.Kind {
	case spec.GateApproval:
		text += ": " + t.approvers(g.Name)
	case spec.GateWindow:
		text += ": time does"
		if !g.Until.IsZero() {
			text += ", at " + t.clock(g.Until)
		}
	case spec.GateWait:
		text += ": it passes by itself once what it looks at holds"
	case spec.GateSilence:
		text += ": it passes by itself once the alerts are silent"
	}
	if g.Why != "" {
		text += " (" + strings.TrimSuffix(g.Why, ".") + ")"
	}
	return sentence(text)
}

func (t teller) approvers(name string) string {
	i := slices.IndexFunc(t.Spec.Approvals, func(a spec.Approval) bool { return a.Name == name })
	if i < 0 {
		return "the spec does not declare it any more"
	}
	a := t.Spec.Approvals[i]
	who := "anybody whom Consul's ACL lets approve"
	if len(a.Approvers) > 0 {
		who = "whoever has one of the tokens " + strings.Join(a.Approvers, ", ")
	}
	return who + " can"
}

// who says who or what ends a wait that no gate is about.
func (t teller) who() []string {
	r := t.Record
	switch r.Phase {
	case rollout.Queued:
		if len(t.Blockers) > 0 {
			return []string{sentence("It goes on by itself when these have ended: " + strings.Join(t.Blockers, ", "))}
		}
		return []string{"It goes on by itself."}
	case rollout.Staging, rollout.Rolling, rollout.Converging:
		return []string{"The agents of its nodes do; `switchd status " + t.Spec.Name + "` shows each one. A node that is gone for good is to be taken out of the pool in the spec."}
	case rollout.Canary:
		return []string{"The analysis does, once it has seen enough users or found a fault; Prometheus must have the data."}
	case rollout.Switching:
		return []string{"It goes on by itself once all that answer for the name show the new pool; whoever is named can't be reached or is behind."}
	case rollout.Draining, rollout.Baking:
		return []string{"Time does; nobody is needed."}
	default:
		return []string{"It goes on by itself."}
	}
}

// people are those whose service it is.
func (t teller) people() string {
	if t.Spec.Owner == "" {
		return "Anybody whom Consul's ACL lets write the service's rollout."
	}
	return sentence("Its owner is " + t.Spec.Owner + "; anybody can whom Consul's ACL lets write the service's rollout")
}

// Line says since when and until when it waits, and what happens then.
func (w *Waits) Line(now time.Time) string {
	t := teller{now: now}
	text := "It waits since " + t.moment(w.Since)
	switch then := w.Then; {
	case w.Until.IsZero():
		return text + ", without a deadline."
	case now.After(w.Until):
		return sentence(fmt.Sprintf("%s, until %s, which is %s over; then: %s", text, t.clock(w.Until), status.Span(now.Sub(w.Until)), then))
	default:
		return sentence(fmt.Sprintf("%s, until %s (in %s); then: %s", text, t.clock(w.Until), status.Span(w.Until.Sub(now)), then))
	}
}

func (t teller) clock(at time.Time) string { return status.Clock(at, t.now) }
