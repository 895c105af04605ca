package spec

import "fmt"

// Origin is where a value was set, and whose file that is.
type Origin struct {
	File  string `json:"file"` // relative to the directory of inputs
	Line  int    `json:"line"`
	Owner string `json:"owner,omitempty"`
}

// Origins are by the value's path, such as "roll.quorum", "pool.blue.nodes",
// "runtime.command" or "metric.errors.query"; and by the path of each block
// that is written, such as "smoke.version". Defaults have none.
type Origins map[string]Origin

// String is "web.hcl:12, owner web-team", and empty for the zero Origin.
func (o Origin) String() string {
	switch {
	case o.File == "":
		return ""
	case o.Owner == "":
		return fmt.Sprintf("%s:%d", o.File, o.Line)
	}
	return fmt.Sprintf("%s:%d, owner %s", o.File, o.Line, o.Owner)
}
