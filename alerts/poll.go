package alerts

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// whenUnknown is when to look again for somebody to ask.
const whenUnknown = time.Second

// poll asks for alerts that fire until ctx ends.
func (h *Halter) poll(ctx context.Context) {
	failing := make(map[source]bool) // of those that are asked: in vain?
	for ctx.Err() == nil {
		wait := whenUnknown
		if in := h.inputs.Load(); in != nil && len(in.sources) > 0 {
			h.pollAll(ctx, in, failing)
			// The replicas need not ask at the same moment.
			every := max(in.every, time.Second)
			wait = every - rand.N(every/8)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// pollAll asks each server and has what it says take effect. Nothing comes of
// what can't be learned: that is told once.
func (h *Halter) pollAll(ctx context.Context, in *inputs, failing map[source]bool) {
	answers, errs := ask(ctx, in.sources)
	if ctx.Err() != nil {
		return
	}
	asked := make(map[source]bool, len(in.sources))
	for i, s := range in.sources {
		asked[s] = true
		h.Metrics.asked(s.String(), errs[i])
		if errs[i] != nil {
			if !failing[s] {
				h.Log.WarnContext(ctx, "alerts are not known; nothing is halted for that", "error", errs[i])
			}
		} else if failing[s] {
			h.Log.InfoContext(ctx, "alerts are known again", "server", s.String())
		}
		failing[s] = errs[i] != nil
		if _, err := h.Take(ctx, answers[i]); err != nil {
			h.Log.ErrorContext(ctx, "alerts that fire", "server", s.String(), "error", err)
		}
	}
	for s := range failing {
		if !asked[s] {
			delete(failing, s)
			h.Metrics.forget(s.String())
		}
	}
}

// firing are the alerts that fire now as all the servers say. It is an error if
// one of them doesn't, or if there is none.
func (h *Halter) firing(ctx context.Context, in *inputs) ([]Alert, error) {
	if len(in.sources) == 0 {
		return nil, errors.New("nobody can tell whether another alert fires: the environment has no alerts block")
	}
	answers, errs := ask(ctx, in.sources)
	var all []Alert
	for _, some := range answers {
		all = append(all, some...)
	}
	return all, errors.Join(errs...)
}

// ask asks all servers at the same time.
func ask(ctx context.Context, sources []source) (answers [][]Alert, errs []error) {
	client := newClient()
	answers, errs = make([][]Alert, len(sources)), make([]error, len(sources))
	var group errgroup.Group
	group.SetLimit(servicesAtOnce)
	for i, s := range sources {
		group.Go(func() error {
			answers[i], errs[i] = s.firing(ctx, client)
			return nil
		})
	}
	_ = group.Wait() // the errors are by server
	return answers, errs
}
