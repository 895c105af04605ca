package analysis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/judge"
	"switchd/spec"
)

const (
	// prepareTimeout bounds the reading of the history of all metrics. The steps
	// that pass meanwhile are asked for afterwards.
	prepareTimeout = 2 * time.Minute
	// prepareTries is the number of looks at which it is tried. After them the
	// judges go on with what they take for usual.
	prepareTries = 3
)

// learnt is what the time before the release tells of one metric.
type learnt struct {
	edges      []float64
	guessed    bool
	background judge.Background
	known      bool  // that there is a background
	lost       error // why it is not all
}

// prepare reads the live pool's history, has the metrics tested on it, and finds
// the edges of histograms. It is tried again at the next look if Prometheus can't
// be asked, but not for ever. An error is a mistake in the spec.
func (w *watch) prepare(ctx context.Context, at time.Time) error {
	limited, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	metrics := w.task.Config.Metrics
	all := make([]learnt, len(metrics))
	var group errgroup.Group
	group.SetLimit(concurrentMetrics)
	for i, m := range metrics {
		group.Go(func() (err error) {
			all[i], err = w.learn(limited, m, at)
			if err != nil {
				return fmt.Errorf("query of metric %q is wrong: %w", m.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil // what it says now is only that
	}
	w.lost = ""
	for _, l := range all {
		if l.lost != nil {
			w.lost = l.lost.Error()
		}
	}
	w.missed(at)
	w.state.Tries++
	if w.lost != "" && w.state.Tries < prepareTries {
		return nil
	}
	w.state.Backgrounds = make(map[string]judge.Background)
	for i, m := range metrics {
		c := w.state.Metrics[m.Name]
		c.Edges, c.Guessed = all[i].edges, all[i].guessed
		w.state.Metrics[m.Name] = c
		if all[i].known {
			w.state.Backgrounds[m.Name] = all[i].background
		}
	}
	if w.lost != "" {
		w.note("the history could not be read at %d looks, so that the noise is what is usual: %s", w.state.Tries, w.lost)
	}
	w.state.Prepared = true
	return w.newPanel()
}

// learn reads what there is of one metric. An error is a mistake in the spec.
func (w *watch) learn(ctx context.Context, m spec.Metric, at time.Time) (l learnt, err error) {
	if m.Buckets != "" && len(m.Edges) == 0 {
		l.edges, err = w.sampler.Edges(ctx, m, at)
		if mistake, wrong := errors.AsType[*SpecError](err); wrong {
			return l, mistake
		}
		l.lost, l.guessed = err, len(l.edges) == 0
		m.Edges = l.edges
	}
	if m.Judge != spec.JudgeSequential || w.task.Config.History <= 0 || l.guessed {
		return l, nil
	}
	history, err := w.sampler.History(ctx, m, w.task.Began, w.task.Config.History.Std())
	if mistake, wrong := errors.AsType[*SpecError](err); wrong && !mistake.Fleeting {
		return l, mistake
	}
	if err != nil {
		l.lost = err
		return l, nil
	}
	l.background, l.known = judge.SelfTest(m, w.task.Config, history), true
	return l, nil
}
