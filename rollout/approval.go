package rollout

import (
	"cmp"
	"slices"
	"time"

	"switchd/spec"
)

// Tally is what people have said of an approval.
type Tally struct {
	// Given are the consents that count, one a person, the oldest first.
	Given []Consent
	// Denied are the refusals. One is enough.
	Denied []Consent
	// Ahead are consents whose date is so far ahead that they can't be held to
	// their end, and so don't count yet: somebody's clock is wrong, or it is a lie.
	Ahead []Consent
	// Need is how many consents it takes.
	Need int
	// Expires is when the first of the given ones does; zero: none does.
	Expires time.Time
}

// skew is how far the clocks of two machines may be apart.
const skew = time.Minute

// Tally counts the consents to an approval of the rollout under way. A person
// counts once, by what they said last; who isn't one of the approvers doesn't
// count, nor does what has expired.
func (s Situation) Tally(a spec.Approval, now time.Time) Tally {
	t := Tally{Need: max(a.MinApprovers, 1)}
	last := make(map[string]Consent)
	for _, c := range s.consents() {
		if c.Gate == a.Name && !c.At.Before(last[c.Who].At) {
			last[c.Who] = c
		}
	}
	for _, c := range last {
		expires := time.Time{}
		if a.Expires > 0 {
			expires = c.At.Add(a.Expires.Std())
		}
		switch {
		case !mayApprove(a, c.Who):
		case c.Deny:
			t.Denied = append(t.Denied, c)
		case a.Expires > 0 && c.At.After(now.Add(skew)):
			t.Ahead = append(t.Ahead, c)
		case expires.IsZero() || now.Before(expires):
			t.Given = append(t.Given, c)
			t.Expires = Earlier(t.Expires, expires)
		}
	}
	for _, said := range [][]Consent{t.Given, t.Denied, t.Ahead} {
		slices.SortFunc(said, func(a, b Consent) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Who, b.Who)) })
	}
	return t
}

// Passes tells whether there is no refusal and there are enough consents.
func (t Tally) Passes() bool { return len(t.Denied) == 0 && len(t.Given) >= t.Need }

// People names those who have given theirs.
func (t Tally) People() []string { return people(t.Given) }

// Refusers names those who have refused.
func (t Tally) Refusers() []string { return people(t.Denied) }

func people(said []Consent) []string {
	var names []string
	for _, c := range said {
		names = append(names, person(c.Who, c.By))
	}
	return names
}

func mayApprove(a spec.Approval, who string) bool {
	return len(a.Approvers) == 0 || slices.Contains(a.Approvers, who)
}

// consents are those to the rollout under way, along with what an older version
// of switchd has written into its record.
func (s Situation) consents() []Consent {
	if s.Record == nil {
		return nil
	}
	var all []Consent
	for _, a := range s.Record.Approvals {
		all = append(all, Consent{Rollout: s.Record.ID, Gate: a.Name, Who: a.By, By: a.By, At: a.At})
	}
	for _, c := range s.Consents {
		if c.Rollout == s.Record.ID {
			all = append(all, c)
		}
	}
	return all
}
