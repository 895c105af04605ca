package spec

import (
	"cmp"
	"fmt"
	"strings"
)

// Approval is a named consent.
type Approval struct {
	Hold

	Name string `json:"name"`
	// MinApprovers is how many different people must approve.
	MinApprovers int `json:"min_approvers"`
	// Approvers are the accessor IDs of the tokens that may, or, on a Consul
	// without ACLs, the names of accounts; empty: all whom Consul lets.
	Approvers []string `json:"approvers,omitempty"`
	// Expires is how long an approval holds; 0: as long as the rollout is
	// under way.
	Expires Duration `json:"expires,omitempty"`
}

func (a *Approval) form() form {
	return form{
		attrs: append(a.attrs(),
			whole("min_approvers", &a.MinApprovers, 1, 100),
			texts("approvers", &a.Approvers, personRule(), true),
			span("expires", &a.Expires, shortest),
		),
		check: a.own,
	}
}

// String is what the approval asks for.
func (a *Approval) String() string {
	asked := fmt.Sprintf("%d %s", a.MinApprovers, plural(a.MinApprovers, "approver"))
	if len(a.Approvers) > 0 {
		asked += " of " + strings.Join(a.Approvers, ", ")
	}
	return asked
}

// complete fills in what the inputs, or the older version of switchd that has
// compiled them, leave open.
func (a *Approval) complete(d Deadline) Approval {
	full := *a
	if len(full.At) == 0 {
		full.At = []string{PointSwitch}
	}
	full.MinApprovers = max(full.MinApprovers, 1)
	full.Deadline.After = cmp.Or(full.Deadline.After, d.After)
	full.Deadline.Then = cmp.Or(full.Deadline.Then, d.Then)
	return full
}

// personRule is a part of the key that the person's consent is written to.
func personRule() rule {
	r := wordRule().and(func(s string) bool { return len(s) <= 128 && !strings.Contains(s, "/") && fixed(s) })
	r.want = "the accessor ID of a token in Consul or, where Consul has no ACLs, the name of an account: without spaces and \"/\", at most 128 bytes"
	return r
}
