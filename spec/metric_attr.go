package spec

import (
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// onMissing is written as what a look without an answer counts as.
type onMissing bool

// MarshalText writes "fail" or "unknown".
func (o onMissing) MarshalText() ([]byte, error) {
	if o {
		return []byte("fail"), nil
	}
	return []byte("unknown"), nil
}

func missing(name string, fails *bool) attr {
	var written string
	a := text(name, &written, oneOf("unknown", "fail")).then(func() { *fails = written == "fail" })
	a.to = (*onMissing)(fails)
	return a
}

// selector is that of counters.
func selector(name string, to *string) attr {
	return trimmed(text(name, to, selectorRule()), to)
}

// queries are those that an expression names.
func queries(name string, to *map[string]string) attr {
	return textMap(name, to, variableRule(), queryRule()).then(func() {
		for key, query := range *to {
			(*to)[key] = strings.TrimSpace(query)
		}
	})
}

// edges are latencies, rising: durations, or numbers in the histogram's unit.
func edges(name string, to *[]float64, unit *string) attr {
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		items, ok := elements(v)
		if !ok || len(items) == 0 || len(items) > maxEdges {
			return &fault{want: fmt.Sprintf("a list of 1 to %d latencies, such as [\"100ms\", \"300ms\"]", maxEdges), got: v}
		}
		list := make([]float64, len(items))
		for i, item := range items {
			edge, ok := latency(item, *unit)
			if !ok || edge <= 0 {
				return &fault{element: i, want: "a duration such as \"300ms\", or a number in the histogram's unit, above 0", got: item}
			}
			if i > 0 && edge <= list[i-1] {
				return &fault{element: i, want: "longer than the one before it", got: item}
			}
			list[i] = edge
		}
		*to = list
		return nil
	}}
}

func latency(v cty.Value, unit string) (float64, bool) {
	if d, ok := duration(v); ok {
		if unit == UnitMilliseconds {
			return float64(d) / 1e6, true
		}
		return d.Seconds(), true
	}
	return float(v)
}
