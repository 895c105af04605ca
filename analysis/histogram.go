package analysis

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// infinite is the edge of the bucket that counts all.
var infinite = math.Inf(1)

// newHistogram returns the tracks of a classic histogram's buckets, without the
// label le. The numbers of a mark are the count of all, then that below each edge.
// A label set that lacks an edge is a mistake, as nothing can be told of it.
func newHistogram(series []Series, selector, node string, edges []float64, fresh time.Duration) (counter, error) {
	c := counter{width: 1 + len(edges), fresh: fresh}
	mistake := func(format string, args ...any) (counter, error) {
		return counter{}, &SpecError{Query: selector, Fleeting: true, Reason: fmt.Sprintf(format, args...)}
	}
	wanted := append([]float64{infinite}, edges...)
	sets := make(map[string]*buckets)
	for _, s := range series {
		le, ok := edgeOf(s)
		if !ok {
			return mistake("a series has le=%q, where a histogram's bucket has a number: select the _bucket series of one", s.Labels["le"])
		}
		key := labelKey(s.Labels, "le")
		if sets[key] == nil {
			sets[key] = newBuckets(s.Labels[node], len(wanted))
		}
		if i := slices.Index(wanted, le); i >= 0 {
			sets[key].add(i, s)
		}
	}
	for _, set := range sets {
		if i := slices.Index(set.found, false); i >= 0 {
			return mistake("the histogram has no bucket of le=%s; it has %s", edgeText(wanted[i]), edgesText(bucketEdges(series)))
		}
		c.tracks = append(c.tracks, set.track())
	}
	return c, nil
}

// buckets are those of one label set.
type buckets struct {
	node   string
	found  []bool                  // which of the edges there are
	counts map[time.Time][]float64 // by scrape
}

func newBuckets(node string, edges int) *buckets {
	return &buckets{node: node, found: make([]bool, edges), counts: make(map[time.Time][]float64)}
}

// add takes in the series of one edge.
func (b *buckets) add(edge int, s Series) {
	b.found[edge] = true
	for _, p := range s.Points {
		if b.counts[p.At] == nil {
			b.counts[p.At] = slices.Repeat([]float64{math.NaN()}, len(b.found))
		}
		b.counts[p.At][edge] = p.Value
	}
}

// track has the scrapes at which all edges were there.
func (b *buckets) track() track {
	t := track{node: b.node}
	for at, counts := range b.counts {
		if !slices.ContainsFunc(counts, math.IsNaN) {
			t.marks = append(t.marks, mark{at: at, values: counts})
		}
	}
	slices.SortFunc(t.marks, func(a, b mark) int { return a.at.Compare(b.at) })
	return t
}

// edgeOf returns the edge of a bucket's series, false if it is none.
func edgeOf(s Series) (float64, bool) {
	le, err := strconv.ParseFloat(s.Labels["le"], 64)
	return le, err == nil && !math.IsNaN(le)
}

// bucketEdges returns the finite edges that the series have, sorted.
func bucketEdges(series []Series) []float64 {
	var edges []float64
	for _, s := range series {
		if le, ok := edgeOf(s); ok && !math.IsInf(le, 0) {
			edges = append(edges, le)
		}
	}
	slices.Sort(edges)
	return slices.Compact(edges)
}

func edgeText(e float64) string { return strconv.FormatFloat(e, 'g', -1, 64) }

func edgesText(edges []float64) string {
	texts := make([]string, len(edges))
	for i, e := range edges {
		texts[i] = edgeText(e)
	}
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, ", ")
}
