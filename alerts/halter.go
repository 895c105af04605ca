package alerts

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/rollout"
	"switchd/spec"
)

// Rollouts are the rollouts that alerts act on. A ledger.Ledger has them.
type Rollouts interface {
	// Record reads a service's current or last rollout, nil if there was none.
	Record(ctx context.Context, service string) (*rollout.Record, error)
	// Do commits what the operation makes of a fresh look at the service, in
	// one fenced write.
	Do(ctx context.Context, service, by string, operation func(rollout.Situation) (*rollout.Change, error)) (*rollout.Change, error)
}

// Halter acts on the rollouts of one environment as alerts ask for. Any replica
// may: each effect is one fenced write of its own.
type Halter struct {
	Rollouts Rollouts
	Log      *slog.Logger
	Metrics  *Metrics // may be nil

	inputs   atomic.Pointer[inputs]
	resolved memory
}

// inputs is what the environment's desired state says of alerts.
type inputs struct {
	rules   *Rules
	sources []source
	every   time.Duration
}

// ErrNotReady says that the desired state is not known yet, so that nobody can
// tell whom an alert concerns. It is to be told again.
var ErrNotReady = errors.New("the desired state could not be read from Consul yet")

// Bounds of what one call of Take may do.
const (
	servicesAtOnce = 8
	takeTime       = 10 * time.Second
)

// Take has the alerts take effect, and tells what came of each for each service
// that it concerns. It ends within ten seconds; what failed is to be told again.
func (h *Halter) Take(ctx context.Context, alerts []Alert) ([]Outcome, error) {
	in := h.inputs.Load()
	if in == nil {
		return nil, ErrNotReady
	}
	ctx, cancel := context.WithTimeout(ctx, takeTime)
	defer cancel()
	alerts = slices.Clone(alerts)
	for i := range alerts {
		a := &alerts[i]
		a.id, a.at = a.ID(), i
		if !a.Firing {
			h.resolved.add(a.id)
		}
	}
	var found tally
	var open []Alert // that may have an effect
	concerned := make(map[string]bool)
	for _, a := range alerts {
		names := in.rules.Concerned(a)
		switch {
		case len(names) == 0:
			found.add(outcome(a, "", NoService, ""))
		case a.noEvidence():
			found.add(outcome(a, "", NoEvidence, "it says that there is no data, and that is neither good nor bad"))
		case a.Firing && a.Receiver != "" && h.resolved.has(a.id): // what was asked for is what fires now
			found.add(outcome(a, "", Resolved, "it was resolved already"))
		default:
			open = append(open, a)
			for _, name := range names {
				concerned[name] = true
			}
		}
	}
	var mu sync.Mutex
	still := make(map[string]bool) // services without a rollout
	var group errgroup.Group
	group.SetLimit(servicesAtOnce)
	for name := range concerned {
		group.Go(func() error {
			if h.takeFor(ctx, in, in.rules.services[name], open, &found) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			still[name] = true
			return nil
		})
	}
	_ = group.Wait() // what failed is among the outcomes
	found.add(nothingUnderWay(in.rules, still, open)...)
	h.Metrics.took(found.outcomes)
	return sorted(found.outcomes), nil
}

// nothingUnderWay tells of each alert that concerns services without a rollout.
func nothingUnderWay(rules *Rules, still map[string]bool, alerts []Alert) []Outcome {
	if len(still) == 0 {
		return nil
	}
	var outcomes []Outcome
	for _, a := range alerts {
		effect := NoRollout
		if !a.Firing {
			effect = Resolved
		}
		names := slices.DeleteFunc(rules.Concerned(a), func(name string) bool { return !still[name] })
		if len(names) > 0 {
			o := outcome(a, names[0], effect, "")
			o.Others = len(names) - 1
			outcomes = append(outcomes, o)
		}
	}
	return outcomes
}

// takeFor does it for one service, and tells whether that may have a rollout
// under way. Alerts that fire come first: a rollout is not to go on for one that
// is resolved while another fires.
func (h *Halter) takeFor(ctx context.Context, in *inputs, s service, alerts []Alert, found *tally) (underWay bool) {
	record, err := h.Rollouts.Record(ctx, s.Name)
	if err == nil && (record == nil || record.Phase.Ended()) {
		return false
	}
	var firing, resolved []Alert
	for _, a := range alerts {
		switch {
		case !s.mayMeet(a):
		case a.Firing:
			firing = append(firing, a)
		default:
			resolved = append(resolved, a)
		}
	}
	if err != nil {
		found.add(h.failed(ctx, s.Name, slices.Concat(firing, resolved), err)...)
		return true
	}
	found.add(h.halt(ctx, in, s.Service, record, firing)...)
	for _, a := range resolved {
		if len(firing) > 0 {
			found.add(outcome(a, s.Name, Resolved, ""))
			continue
		}
		found.add(h.resume(ctx, in, s.Service, record, a))
	}
	return true
}

func (h *Halter) failed(ctx context.Context, service string, alerts []Alert, err error) []Outcome {
	h.Log.ErrorContext(ctx, "alerts have had no effect", "service", service, "alerts", len(alerts), "error", err)
	var outcomes []Outcome
	for _, a := range alerts {
		outcomes = append(outcomes, outcome(a, service, Failed, err.Error()))
	}
	return outcomes
}

// halt has the firing alerts take effect on the service's rollout, as its
// record was when they came.
func (h *Halter) halt(ctx context.Context, in *inputs, s spec.Service, record *rollout.Record, alerts []Alert) []Outcome {
	began := time.Now()
	effects, act := decide(s, in.rules.env, record, alerts)
	var err error
	for mayRollBack := true; act >= 0; mayRollBack = false {
		acting := alerts[act]
		_, err = h.Rollouts.Do(ctx, s.Name, acting.by(), func(now rollout.Situation) (*rollout.Change, error) {
			if effects, act = decide(now.Spec, in.rules.env, now.Record, alerts); act < 0 {
				return nil, errNothing
			}
			acting = alerts[act]
			if effects[act] == RolledBack && !mayRollBack {
				effects[act] = Halted
			}
			c, effect, err := change(now, acting, effects[act], time.Now())
			effects[act] = effect
			return c, err
		})
		// The pools are asked once more at the write, and may not be able to
		// serve any more.
		if _, refused := errors.AsType[*rollout.Refusal](err); !refused || !mayRollBack || effects[act] != RolledBack {
			break
		}
	}
	switch {
	case errors.Is(err, errNothing):
	case err != nil:
		return h.failed(ctx, s.Name, alerts, err)
	case act >= 0:
		h.Log.WarnContext(ctx, "an alert has stopped a rollout", "service", s.Name, "alert", alerts[act].Name(),
			"effect", effects[act], "why", alerts[act].why(""), "took", time.Since(began).Round(time.Millisecond))
	}
	outcomes := make([]Outcome, len(alerts))
	for i, a := range alerts {
		outcomes[i] = outcome(a, s.Name, effects[i], "")
	}
	return outcomes
}

// resume has a rollout go on that the alert has halted, where the service asks
// for that and nothing else has happened since.
func (h *Halter) resume(ctx context.Context, in *inputs, s spec.Service, record *rollout.Record, a Alert) Outcome {
	if !resumable(s, in.rules.env, record, a) {
		return outcome(a, s.Name, Resolved, "")
	}
	firing, err := h.firing(ctx, in)
	if err != nil {
		return h.failed(ctx, s.Name, []Alert{a}, err)[0]
	}
	blocks := inForce(s, in.rules.env, record)
	if i := slices.IndexFunc(firing, func(other Alert) bool { return len(metBy(blocks, other)) > 0 }); i >= 0 {
		return outcome(a, s.Name, Standing, "the "+firing[i].by()+" fires too")
	}
	_, err = h.Rollouts.Do(ctx, s.Name, a.by(), func(now rollout.Situation) (*rollout.Change, error) {
		if !resumable(now.Spec, in.rules.env, now.Record, a) {
			return nil, errNothing
		}
		return rollout.Resume(now, a.by()+", which is resolved", time.Now())
	})
	_, refused := errors.AsType[*rollout.Refusal](err)
	switch {
	case refused:
		return outcome(a, s.Name, Standing, err.Error())
	case errors.Is(err, errNothing):
		return outcome(a, s.Name, Resolved, "")
	case err != nil:
		return h.failed(ctx, s.Name, []Alert{a}, err)[0]
	}
	h.Log.InfoContext(ctx, "a rollout goes on: its alert is resolved", "service", s.Name, "alert", a.Name())
	return outcome(a, s.Name, Resumed, "")
}
