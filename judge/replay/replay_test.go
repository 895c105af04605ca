package replay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"switchd/judge"
	"switchd/judge/replay"
	"switchd/spec"
)

// values are looks at one value a minute.
func values(values ...float64) replay.Looks {
	return func(yield func(replay.Look, error) bool) {
		for i, v := range values {
			at := began().Add(time.Duration(i+1) * time.Minute)
			s := judge.Sample{At: at, Experiment: judge.Reading{Value: v}, Control: judge.Reading{Value: -v}}
			if !yield(replay.Look{At: at, Samples: map[string]judge.Sample{"p99": s}}, nil) {
				return
			}
		}
	}
}

// below is a panel that wants two values in a row of at most 1.
func below(t *testing.T) *judge.Panel {
	t.Helper()
	p, err := judge.NewPanel(spec.Analysis{
		Noise:    0.3,
		Interval: spec.Duration(time.Minute), Looks: 2,
		Metrics: []spec.Metric{{Name: "p99", Judge: spec.JudgeThreshold, Query: "p99", Max: new(1.0), FailureLimit: 1}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRun_TellsWhenItWasDecided(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		looks  replay.Looks
		want   judge.Outcome
		events string
	}{
		{"passes", values(1, 1, 1), judge.NoWorse, "[no worse after 2m0s]"},
		{"fails after it had passed", values(1, 1, 5, 5, 1), judge.Regressed, "[no worse after 2m0s regressed after 4m0s]"},
		{"fails", values(5, 1, 5), judge.Regressed, "[regressed after 3m0s]"},
		{"is not decided", values(1, 5), judge.Undecided, "[]"},
		{"has nothing", values(), judge.Undecided, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			told := 0
			r, err := replay.Run(t.Context(), below(t), c.looks, time.Minute, func(time.Time) { told++ })
			if err != nil {
				t.Fatal(err)
			}
			events := []string{}
			for _, d := range r.Decisions {
				events = append(events, fmt.Sprintf("%s after %s", d.Outcome, d.After))
			}
			if r.Verdict.Outcome != c.want || fmt.Sprint(events) != c.events || told != r.Looks {
				t.Errorf("got %q by %v in %d looks (%d told), want %q by %s", r.Verdict.Outcome, events, r.Looks, told, c.want, c.events)
			}
			if r.Looks > 0 && !r.From.Equal(began()) {
				t.Errorf("it began at %s", r.From)
			}
		})
	}
}

func TestRun_EndsWithItsContextOrAtAnError(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := replay.Run(ctx, below(t), values(1, 1, 1), time.Minute, func(time.Time) {
		if n++; n == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || n != 2 {
		t.Errorf("after %d looks: %v", n, err)
	}
	broken := errors.New("broken")
	_, err = replay.Run(t.Context(), below(t), func(yield func(replay.Look, error) bool) { yield(replay.Look{}, broken) }, time.Minute, nil)
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestBetween_TakesWhatIsAfterOneTimeAndUpToAnother(t *testing.T) {
	t.Parallel()
	minute := func(n int) time.Time { return began().Add(time.Duration(n) * time.Minute) }
	for _, c := range []struct {
		from, to time.Time
		want     []float64
	}{
		{time.Time{}, time.Time{}, []float64{1, 2, 3, 4}},
		{minute(1), minute(3), []float64{2, 3}},
		{minute(3), time.Time{}, []float64{4}},
		{time.Time{}, minute(0), nil},
	} {
		var got []float64
		for _, look := range collect(t, replay.Between(values(1, 2, 3, 4), c.from, c.to)) {
			got = append(got, look.Samples["p99"].Experiment.Value)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("from %s to %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

func TestHistory_IsTheNewestOfTheControl(t *testing.T) {
	t.Parallel()
	many := make([]float64, 3*replay.MaxHistory+7)
	for i := range many {
		many[i] = float64(i)
	}
	history, err := replay.History(t.Context(), values(many...))
	if err != nil {
		t.Fatal(err)
	}
	got := history["p99"]
	if len(got) != replay.MaxHistory || got[len(got)-1].Experiment.Value != -many[len(many)-1] || got[0].Experiment.Value != -many[len(many)-replay.MaxHistory] {
		t.Errorf("%d samples from %v to %v", len(got), got[0], got[len(got)-1])
	}
}

func TestWhole_RefusesToGoBack(t *testing.T) {
	t.Parallel()
	back := func(yield func(replay.Look, error) bool) {
		for range 2 {
			if !yield(replay.Look{At: began()}, nil) {
				return
			}
		}
	}
	var last error
	for _, last = range replay.Whole(back, nil, time.Minute) {
	}
	wantError(t, last, "the look at 2026-11-20T14:00:00Z is not after the one before it, at 2026-11-20T14:00:00Z")
}
