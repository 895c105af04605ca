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
}

// Nodes is a plain count.
func Nodes(n int) Count { return Count{N: n} }

// AtLeast is the count for a pool of so many members, a part of a node
// rounded up.
func (c Count) AtLeast(members int) int {
	if !c.Percent {
		return c.N
	}
	return (c.N*members + 99) / 100
}

// AtMost is the count for a pool of so many members, a part of a node rounded
// down, and 1 at the least: with none at all nothing could ever be done.
func (c Count) AtMost(members int) int {
	if !c.Percent {
		return c.N
	}
	return max(c.N*members/100, 1)
}

// String is the count as inputs write it.
func (c Count) String() string {
	if c.Percent {
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
	digits, ok := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return fmt.Errorf("parse a count of nodes: %.20q is no percentage such as \"60%%\"", text)
	}
	*c = Count{N: n, Percent: true}
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
