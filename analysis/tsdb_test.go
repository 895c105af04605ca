package analysis_test

import (
	"context"
	"fmt"
	"math"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchd/analysis"
	"switchd/gate"
)

// tsdb stands for Prometheus where the course of many looks in made-up time is
// what is tested. It knows selectors by their text, their sums, and values.
type tsdb struct {
	mu     sync.Mutex
	series map[string][]analysis.Series
	values map[string]func(at time.Time) []float64
	// away is a time in which it doesn't answer.
	away  window
	fails map[string]error
	asked map[string]int
}

type window struct{ from, to time.Time }

func (w window) holds(t time.Time) bool { return !t.Before(w.from) && t.Before(w.to) }

func newTSDB() *tsdb {
	return &tsdb{
		series: make(map[string][]analysis.Series), values: make(map[string]func(time.Time) []float64),
		fails: make(map[string]error), asked: make(map[string]int),
	}
}

// scrape adds a series of what a counter shows at each of its scrapes, NaN for
// none.
func (db *tsdb) scrape(selector string, labels map[string]string, from, to time.Time, every time.Duration, shows func(at time.Time) float64) {
	s := analysis.Series{Labels: labels}
	for at := from; !at.After(to); at = at.Add(every) {
		if v := shows(at); !math.IsNaN(v) {
			s.Points = append(s.Points, analysis.Point{At: at, Value: v})
		}
	}
	db.series[selector] = append(db.series[selector], s)
}

func (db *tsdb) answer(query string) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.asked[query]++
	if db.away.holds(time.Now()) {
		return fmt.Errorf("the server is gone")
	}
	return db.fails[query]
}

func (db *tsdb) Query(context.Context, string, time.Time) (analysis.Point, error) {
	panic("no analysis asks for one value")
}

func (db *tsdb) Raw(_ context.Context, selector string, from, to time.Time) ([]analysis.Series, error) {
	if err := db.answer(selector); err != nil {
		return nil, err
	}
	if now := time.Now(); to.After(now) {
		to = now
	}
	var found []analysis.Series
	for _, s := range db.series[selector] {
		if points := s.Points[upTo(s, from):max(upTo(s, from), upTo(s, to))]; len(points) > 0 {
			found = append(found, analysis.Series{Labels: s.Labels, Points: points})
		}
	}
	return found, nil
}

// upTo is the number of a series' points that are not after a moment.
func upTo(s analysis.Series, at time.Time) int {
	return sort.Search(len(s.Points), func(i int) bool { return s.Points[i].At.After(at) })
}

func (db *tsdb) Range(_ context.Context, promql string, from, to time.Time, step time.Duration) ([]analysis.Series, error) {
	if err := db.answer(promql); err != nil {
		return nil, err
	}
	var found []analysis.Series
	if by, ok := strings.CutPrefix(promql, "sum by ("); ok {
		labels, selector, _ := strings.Cut(by, ") (")
		sums := make(map[string]map[string]string)
		points := make(map[string][]analysis.Point)
		for at := from; !at.After(to); at = at.Add(step) {
			now := make(map[string]float64)
			for _, s := range db.series[strings.TrimSuffix(selector, "\n)")] {
				kept := make(map[string]string)
				for label := range strings.SplitSeq(labels, ", ") {
					kept[label] = s.Labels[label]
				}
				key := fmt.Sprint(kept)
				if n := upTo(s, at); n > 0 && at.Sub(s.Points[n-1].At) < 5*time.Minute {
					now[key] += s.Points[n-1].Value
					sums[key] = kept
				}
			}
			for key, v := range now {
				points[key] = append(points[key], analysis.Point{At: at, Value: v})
			}
		}
		for key, labels := range sums {
			found = append(found, analysis.Series{Labels: labels, Points: points[key]})
		}
		return found, nil
	}
	value, ok := db.values[promql]
	if !ok {
		return nil, nil
	}
	for at := from; !at.After(to); at = at.Add(step) {
		for i, v := range value(at) {
			for len(found) <= i {
				found = append(found, analysis.Series{Labels: map[string]string{"series": fmt.Sprint(len(found))}})
			}
			found[i].Points = append(found[i].Points, analysis.Point{At: at, Value: v})
		}
	}
	return found, nil
}

// within runs f in made-up time, which begins at midnight, with a context that
// ends after d.
func within(t *testing.T, d time.Duration, f func(ctx context.Context) gate.Verdict) (v gate.Verdict) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		v = f(ctx)
	})
	return v
}

func wantVerdict(t *testing.T, v gate.Verdict, outcome gate.Outcome, why string) {
	t.Helper()
	if v.Outcome != outcome || v.Why != why {
		t.Errorf("got  %s: %s\nwant %s: %s\nevidence:\n%s", v.Outcome, v.Why, outcome, why, strings.Join(v.Evidence, "\n"))
	}
}

// midnight is when made-up time begins.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
