package replay

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// origin is where the counts of a table come from.
type origin struct {
	metric, node string
	experiment   bool
}

// total is how the number of all events went in the rows of one origin.
type total struct {
	rows int
	last float64
	fell bool // or stayed the same
}

// count notes how many events a row has.
func (t *table) count(r row) {
	events := r.total
	if last := len(t.edges) - 1; last >= 0 && math.IsInf(t.edges[last].le, 1) {
		events = r.buckets[last]
	}
	if math.IsNaN(events) {
		return
	}
	key := origin{r.metric, r.node, r.experiment}
	before, ok := t.totals[key]
	t.totals[key] = total{before.rows + 1, events, before.fell || ok && events <= before.last}
}

// notes tell of metrics whose totals only ever rise, in more rows than traffic
// does: they may be counters that were taken as they are.
func (t *table) notes() []string {
	const enough = 10 // by chance once in 3.6 million
	rising := make(map[string]int)
	for key, n := range t.totals {
		if n.rows >= enough && !n.fell {
			rising[key.metric] = max(rising[key.metric], n.rows)
		}
	}
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(rising)) {
		notes = append(notes, fmt.Sprintf("the total of metric %q rises in all of %d rows. If it is a counter that goes on, the verdict is wrong: a row has the events of its step alone", name, rising[name]))
	}
	return notes
}
