package spec

import (
	"slices"

	"github.com/zclconf/go-cty/cty"
)

// Hold is what gates of all kinds have.
type Hold struct {
	// At are the points at which the gate stands, in the order of Points.
	At []string `json:"at"`
	// Owner is that of the file that declares the gate, or of the policy that
	// adds it; whoever is asked and told.
	Owner string `json:"owner,omitempty"`
	// Deadline is the longest that the rollout waits for the gate; 0 for one that
	// ends by itself, which a window does.
	Deadline Deadline `json:"deadline,omitzero"`
}

// points is the attribute that gates of all kinds take.
func (h *Hold) points() attr {
	return ordered(texts("at", &h.At, oneOf(Points()...), true), &h.At, Points())
}

// attrs are those of gates that don't end by themselves.
func (h *Hold) attrs() []attr {
	return []attr{
		h.points(),
		span("deadline", &h.Deadline.After, shortest),
		text("then", &h.Deadline.Then, oneOf(ThenHalt, ThenRollback)),
	}
}

// own keeps whose file declares the gate.
func (h *Hold) own(at scope) { h.Owner = at.c.origins[at.path].Owner }

// ordered keeps a list in the order of all that may be in it, so that it is the
// same however it was written.
func ordered(a attr, to *[]string, all []string) attr {
	return a.then(func() {
		slices.SortFunc(*to, func(x, y string) int { return slices.Index(all, x) - slices.Index(all, y) })
	})
}

// timesOfDay is a span within a day, such as "09:00-17:00".
func timesOfDay(name string, from, to *string) attr {
	written := ""
	if *from != "" {
		written = *from + "-" + *to
	}
	return attr{name: name, to: &written, set: func(v cty.Value) *fault {
		s, _ := str(v)
		begin, end, ok := cutTimes(s)
		if !ok {
			return &fault{want: "two different times of day, such as \"09:00-17:00\", of which the second one may be 24:00, or earlier: then it is over midnight", got: v}
		}
		written, *from, *to = s, begin, end
		return nil
	}}
}
