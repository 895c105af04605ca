package explain

import (
	"fmt"
	"strings"
	"time"

	"switchd/rollout"
	"switchd/spec"
	"switchd/status"
)

// live says what users reach.
func (t teller) live() []string {
	l := t.Live
	if l == nil {
		return []string{fmt.Sprintf("Nothing of %s is live in %s yet.", t.Spec.Name, t.Environment)}
	}
	text := fmt.Sprintf("Users of %s in %s reach %s since %s, by %s", t.Spec.Name, t.Environment, l.Side(), t.moment(l.At), l.By)
	if l.Why != "" {
		text += ": " + l.Why
	}
	said := []string{sentence(text)}
	if len(l.Weights) > 0 {
		var shares []string
		for _, colour := range []string{spec.Blue, spec.Green} {
			shares = append(shares, fmt.Sprintf("%s has %d %%", colour, l.Weights[colour]))
		}
		text := "Of the users, " + strings.Join(shares, " and ")
		if r := t.Record; r != nil && r.Observed != nil {
			text += fmt.Sprintf("; Prometheus measured %.1f %% on %s %s ago", r.Observed.Percent, r.Pool, status.Span(t.now.Sub(r.Observed.At)))
		}
		said = append(said, sentence(text))
	}
	return said
}

// way says where the rollout is.
func (t teller) way() []string {
	r := t.Record
	switch {
	case r == nil:
		return []string{"No rollout was ever begun."}
	case r.Phase.Ended():
		return []string{
			fmt.Sprintf("Nothing is under way. The last rollout, %s to %s, was begun by %s %s and ended as %s %s after %s.",
				r.Version, r.Pool, r.By, t.moment(r.At), r.Phase, t.moment(r.Entered), status.Span(r.Entered.Sub(r.At))),
		}
	}
	said := []string{sentence(fmt.Sprintf("%s is on its way to %s, begun by %s %s%s", r.Version, r.Pool, r.By, t.moment(r.At), train(r)))}
	switch {
	case r.Phase == rollout.Halted && r.Halt != nil:
		said = append(said, sentence(fmt.Sprintf("It stands still since %s: in %s it was halted by %s: %s", t.moment(r.Halt.At), r.Halt.Phase, r.Halt.By, r.Halt.Why)))
	default:
		said = append(said, fmt.Sprintf("It is in phase %s since %s: %s", r.Phase, t.moment(r.Entered), meaning(r.Phase)))
	}
	if t.Driver == "" {
		said = append(said, "Nobody drives: no `switchd serve` of this environment holds the lease, so nothing goes on until one does; a rollback works nevertheless.")
	}
	return said
}

func train(r *rollout.Record) string {
	if r.Train == "" {
		return ""
	}
	return ", as a part of train " + r.Train
}

// meaning is what a phase is for.
func meaning(p rollout.Phase) string {
	return map[rollout.Phase]string{
		rollout.Queued:     "it begins when what the service depends on is at rest.",
		rollout.Staging:    "the nodes of the idle pool fetch the version and check it.",
		rollout.Rolling:    "the agents replace the idle pool node by node, and keep its quorum.",
		rollout.Smoke:      "the smoke tests are run on the new pool.",
		rollout.Warmup:     "the new pool gets load that warms it.",
		rollout.Canary:     "the new pool has its share of the users, or none, and the analysis compares the two.",
		rollout.Switching:  "users are led to the new pool, and all that leads them must show it.",
		rollout.Draining:   "users are on the new pool; the old one's traffic must end.",
		rollout.Baking:     "users are on the new pool; the old one stays up for an instant rollback.",
		rollout.Converging: "the old pool is rolled to the new version too.",
	}[p]
}

// moment is a time as people say it: the time of day, and how long ago that is.
func (t teller) moment(at time.Time) string {
	return fmt.Sprintf("%s (%s ago)", t.clock(at), status.Span(t.now.Sub(at)))
}

// sentence ends a text with one full stop.
func sentence(text string) string {
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") || strings.HasSuffix(text, "!") {
		return text
	}
	return text + "."
}
