package analysis

import (
	"math"
	"slices"
	"time"
)

// absurd is the increment from which on a counter isn't believed.
const absurd = 1e12

// mark is what one label set of a counter showed at a scrape: one number, or for a
// histogram one a bucket. All of them stand or fall together; the first one tells
// of a reset.
type mark struct {
	at     time.Time
	values []float64
}

// track is the way of one label set.
type track struct {
	node  string
	marks []mark
}

// counter are the tracks of one selector.
type counter struct {
	tracks []track
	width  int // the numbers of a mark
	fresh  time.Duration
}

// newCounter returns the tracks of plain series, told apart by a label.
func newCounter(series []Series, node string, fresh time.Duration) counter {
	c := counter{width: 1, fresh: fresh}
	for _, s := range series {
		t := track{node: s.Labels[node]}
		for _, p := range s.Points {
			if !math.IsNaN(p.Value) { // a counter that isn't a number counts nothing
				t.marks = append(t.marks, mark{at: p.At, values: []float64{p.Value}})
			}
		}
		c.tracks = append(c.tracks, t)
	}
	return c
}

// shift moves all in time, as if a former day were today.
func (c counter) shift(by time.Duration) {
	for _, t := range c.tracks {
		for i := range t.marks {
			t.marks[i].at = t.marks[i].at.Add(by)
		}
	}
}

// increment is what a node counted in a step.
type increment struct {
	values []float64
	known  bool // it was there when the step began
	news   bool // it was scraped in the step
}

// between returns the increments by node in the time after a until b.
//
// A value that falls is a reset: the new value is the increment. A label set that
// is new while its node is not has counted from zero, so that the first 5xx is not
// lost, as increase() would lose it. But if others of its node ended before it
// began, then the node was restarted or its labels were changed, and what is new
// goes on from what has ended. A node that is new begins with no increment.
func (c counter) between(a, b time.Time) map[string]*increment {
	nodes := make(map[string]*increment)
	turns := make(map[string]*turn)
	for _, t := range c.tracks {
		base, marks := t.split(a, b, c.fresh)
		if base == nil && len(marks) == 0 {
			continue
		}
		n := nodes[t.node]
		if n == nil {
			n = &increment{values: make([]float64, c.width)}
			nodes[t.node], turns[t.node] = n, new(turn)
		}
		n.known = n.known || base != nil
		n.news = n.news || len(marks) > 0
		if base == nil {
			turns[t.node].begun = append(turns[t.node].begun, marks[0])
			base, marks = &marks[0], marks[1:]
		} else {
			last := *base
			if n := len(marks); n > 0 {
				last = marks[n-1]
			}
			turns[t.node].last = append(turns[t.node].last, last)
		}
		for _, m := range marks {
			n.values = plus(n.values, since(base.values, m.values))
			base = &m
		}
	}
	for node, turn := range turns {
		if len(turn.begun) > 0 {
			nodes[node].values = plus(nodes[node].values, turn.increment(c.width))
		}
	}
	return nodes
}

// turn is where label sets of one node follow each other in a step.
type turn struct {
	begun []mark // the first marks of the new ones
	last  []mark // the last marks of those that were there before
}

// increment is what the new label sets had counted when they were first seen.
func (t turn) increment(width int) []float64 {
	first, ended := make([]float64, width), make([]float64, width)
	begin := t.begun[0].at
	for _, m := range t.begun {
		first = plus(first, m.values)
		if m.at.Before(begin) {
			begin = m.at
		}
	}
	for _, m := range t.last {
		if m.at.Before(begin) {
			ended = plus(ended, m.values)
		}
	}
	return since(ended, first)
}

// split returns the newest mark until a that is still fresh then, nil if there is
// none, and those after a until b.
func (t track) split(a, b time.Time, fresh time.Duration) (*mark, []mark) {
	after := func(limit time.Time) int {
		i, _ := slices.BinarySearchFunc(t.marks, limit, func(m mark, limit time.Time) int {
			if m.at.After(limit) {
				return 1
			}
			return -1
		})
		return i
	}
	i, j := after(a), after(b)
	var base *mark
	if i > 0 && a.Sub(t.marks[i-1].at) < fresh {
		base = &t.marks[i-1]
	}
	return base, t.marks[i:max(i, j)]
}

// since returns the increment from one mark's values to the next one's.
func since(from, to []float64) []float64 {
	if to[0] < from[0] {
		return to
	}
	d := make([]float64, len(to))
	for i := range d {
		d[i] = max(0, to[i]-from[i])
	}
	return d
}

func plus(a, b []float64) []float64 {
	if a == nil {
		return slices.Clone(b)
	}
	sum := make([]float64, len(a))
	for i := range sum {
		sum[i] = a[i] + b[i]
	}
	return sum
}

// newest returns the time of the newest mark between two moments, zero if there is
// none.
func (c counter) newest(after, until time.Time) (at time.Time) {
	for _, t := range c.tracks {
		for _, m := range t.marks {
			if m.at.After(at) && m.at.After(after) && !m.at.After(until) {
				at = m.at
			}
		}
	}
	return at
}
