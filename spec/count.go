package spec

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Count is a number of nodes: as it is, or as a percentage of a pool's
// members, whether they are up or not.
type Count struct {
	N       int
	Percent bool
	// And is a number of nodes that holds beside a percentage, the stricter of the
	// two for each pool: a policy may ask for the one, and the service for the
	// other. 0: none.
	And int
}

// Nodes is a plain count.
func Nodes(n int) Count { return Count{N: n} }

// AtLeast is the count for a pool of so many members, a part of a node
// rounded up.
func (c Count) AtLeast(members int) int {
	if !c.Percent {
		return c.N
	}
	return max((c.N*members+99)/100, c.And)
}

// AtMost is the count for a pool of so many members, a part of a node rounded
// down, and 1 at the least: with none at all nothing could ever be done.
func (c Count) AtMost(members int) int {
	if !c.Percent {
		return c.N
	}
	part := max(c.N*members/100, 1)
	if c.And > 0 {
		return min(part, c.And)
	}
	return part
}

// with is the count that is as strict as both, for any pool; stricter is max or
// min.
func (c Count) with(other Count, stricter func(a, b int) int) Count {
	switch {
	case c.Percent && other.Percent:
		return Count{N: stricter(c.N, other.N), Percent: true, And: also(c.And, other.And, stricter)}
	case c.Percent:
		return Count{N: c.N, Percent: true, And: also(c.And, other.N, stricter)}
	case other.Percent:
		return other.with(c, stricter)
	default:
		return Nodes(stricter(c.N, other.N))
	}
}

// also is the stricter of two counts of which 0 is none.
func also(a, b int, stricter func(a, b int) int) int {
	if a == 0 || b == 0 {
		return a + b
	}
	return stricter(a, b)
}

// String is the count as inputs write it; both parts are in no input.
func (c Count) String() string {
	switch {
	case c.Percent && c.And > 0:
		return fmt.Sprintf("%d%% and %d", c.N, c.And)
	case c.Percent:
		return strconv.Itoa(c.N) + "%"
	}
	return strconv.Itoa(c.N)
}

// MarshalJSON writes a number, or a percentage as text.
func (c Count) MarshalJSON() ([]byte, error) {
	if c.Percent {
		return json.Marshal(c.String())
	}
	return json.Marshal(c.N)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Count) UnmarshalJSON(data []byte) error {
	*c = Count{}
	if json.Unmarshal(data, &c.N) == nil {
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("parse a count of nodes: %w", err)
	}
	part, and, both := strings.Cut(text, " and ")
	digits, ok := strings.CutSuffix(part, "%")
	n, err := strconv.Atoi(digits)
	*c = Count{N: n, Percent: true}
	if both && err == nil {
		c.And, err = strconv.Atoi(and)
	}
	if !ok || err != nil {
		*c = Count{}
		return fmt.Errorf("parse a count of nodes: %.20q is no percentage such as \"60%%\"", text)
	}
	return nil
}

func percent(text string) (int, bool) {
	digits, ok := strings.CutSuffix(text, "%")
	n, err := strconv.ParseUint(digits, 10, 8)
	return int(n), ok && err == nil && n <= 100
}

// count is a number of nodes or a percentage of them, in quotes.
func count(name string, to *Count, least int) attr {
	want := fmt.Sprintf("a whole number of nodes from %d to %d, or a percentage of the pool from \"%d%%\" to \"100%%\"", least, maxNodes, least)
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		if n, ok := integer(v); ok && n >= least && n <= maxNodes {
			*to = Count{N: n}
			return nil
		}
		text, _ := str(v)
		if n, ok := percent(text); ok && n >= least {
			*to = Count{N: n, Percent: true}
			return nil
		}
		return &fault{want: want, got: v}
	}}
}
