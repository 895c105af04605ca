package replay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/analysis"
	"switchd/judge/replay"
	"switchd/spec"
)

// task is one that compares green with blue by counters.
func task() analysis.Task {
	return analysis.Task{
		Config: spec.Analysis{
			Noise:    0.3,
			Interval: spec.Duration(time.Minute), Looks: 1, Alpha: 0.02, Compare: spec.CompareLive, Wider: 1, History: spec.Duration(time.Hour),
			Metrics: []spec.Metric{{
				Name: "errors", Judge: spec.JudgeSequential, Node: "instance", Weight: 1, Allowed: 1.1, Margin: 0.5, Require: spec.RequireNoWorse,
				Bad: `requests{pool="{{pool}}",code="500"}`, Total: `requests{pool="{{pool}}"}`,
			}},
		},
		Vars:  spec.Vars{Pool: "green", Other: "blue"},
		Share: 50,
	}
}

// TestPast_CountsWhatTheCountersCounted makes counters of random events, with
// restarts, and wants all of the events back.
func TestPast_CountsWhatTheCountersCounted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const looks, scrapes = 25, 4                                       // scrapes a look
		chance := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) //nolint:gosec // reproducible
		var text strings.Builder
		var want [2]float64 // bad ones and all of green
		for _, pool := range []string{"green", "blue"} {
			good, bad := 100, 10
			for i := range looks*scrapes + 1 {
				at := began().Add(time.Duration(i) * time.Minute / scrapes)
				if i > 0 {
					more, worse := chance.IntN(50), chance.IntN(5)
					// A restart shows if the counters are lower after it.
					if chance.IntN(30) == 0 && good > 50 && bad > 5 {
						good, bad = 0, 0
					}
					good, bad = good+more, bad+worse
					if pool == "green" {
						want[0] += float64(worse)
						want[1] += float64(more + worse)
					}
				}
				fmt.Fprintf(&text, "requests{pool=%q,instance=\"a\",code=\"200\"} %d %d\n", pool, good, at.Unix())
				fmt.Fprintf(&text, "requests{pool=%q,instance=\"a\",code=\"500\"} %d %d\n", pool, bad, at.Unix())
			}
		}
		dump, err := replay.ReadDump(strings.NewReader(text.String()), "web.om", all)
		if err != nil {
			t.Fatal(err)
		}
		past, err := replay.NewPast(t.Context(), task(), dump, began())
		if err != nil {
			t.Fatal(err)
		}
		var got [2]float64
		n := 0
		for look, err := range past.Looks(t.Context(), began(), began().Add(looks*time.Minute)) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			c := look.Samples["errors"].Experiment.Nodes["a"]
			if len(c.Bad) != 1 {
				t.Fatalf("look %d is %+v", n, look.Samples["errors"])
			}
			got[0] += c.Bad[0]
			got[1] += c.Total
		}
		if n != looks || got != want {
			t.Fatalf("%d looks with %v, want %d with %v", n, got, looks, want)
		}
	})
}

func TestPast_HasTheLivePoolsHistory(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 61 {
		for _, pool := range []string{"green", "blue"} {
			fmt.Fprintf(&text, "requests{pool=%q,instance=%q,code=\"200\"} %d %d\n", pool, pool, 100*i, began().Add(time.Duration(i)*time.Minute).Unix())
		}
	}
	past, err := replay.NewPast(t.Context(), task(), parseDump(t, text.String()), began())
	if err != nil {
		t.Fatal(err)
	}
	history, err := past.History(t.Context(), task().Config.Metrics[0], began().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, s := range history {
		if c, ok := s.Experiment.Nodes["blue"]; ok && c.Total == 100 && c.Bad[0] == 0 {
			seen++
		}
	}
	if seen != 60 {
		t.Errorf("%d of %d steps are the live pool's", seen, len(history))
	}
}

func TestPast_TakesTheEdgesOfTheHistogram(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, pool := range []string{"green", "blue"} {
		for _, le := range []string{"0.1", "0.5", "+Inf"} {
			fmt.Fprintf(&text, "seconds_bucket{pool=%q,instance=\"a\",le=%q} 5 %d\n", pool, le, began().Unix())
		}
	}
	work := task()
	m := &work.Config.Metrics[0]
	m.Bad, m.Total, m.Buckets = "", "", `seconds_bucket{pool="{{pool}}"}`
	past, err := replay.NewPast(t.Context(), work, parseDump(t, text.String()), began())
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(past.Config().Metrics[0].Edges); got != "[0.1 0.5]" {
		t.Errorf("the edges are %s", got)
	}
	_, err = replay.NewPast(t.Context(), work, parseDump(t, text.String()), began().Add(time.Hour))
	wantError(t, err, `metric "errors": there is no bucket at 2026-11-20T15:00:00Z to choose edges from; name them with edges, or choose another time`)
}

func TestPast_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	past, err := replay.NewPast(t.Context(), task(), away{}, began())
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, last = range past.Looks(t.Context(), began(), began().Add(time.Hour)) {
	}
	if !errors.Is(last, errAway) {
		t.Errorf("the looks ended with %v", last)
	}
	for _, last = range past.Looks(t.Context(), began(), began().Add((replay.MaxLooks+5)*time.Minute)) {
	}
	if last == nil || !strings.Contains(last.Error(), "more than 1000000 looks") {
		t.Errorf("the looks ended with %v", last)
	}
}

// away is a source that can't be asked.
type away struct{}

var errAway = errors.New("nobody answers")

func (away) Query(context.Context, string, time.Time) (analysis.Point, error) {
	return analysis.Point{}, errAway
}

func (away) Raw(context.Context, string, time.Time, time.Time) ([]analysis.Series, error) {
	return nil, errAway
}

func (away) Range(context.Context, string, time.Time, time.Time, time.Duration) ([]analysis.Series, error) {
	return nil, errAway
}
