package web

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"switchd/rollout"
	"switchd/status"
)

// shown is how many former rollouts of a service the page has.
const shown = 5

// former is a rollout that has ended.
type former struct {
	Version, Pool, By, Outcome string

	Phase rollout.Phase
	Begun time.Time
	Ended time.Time
}

// past is the former rollouts. A service's history is read again only when a
// rollout of it has begun or ended, because it is much to read. It is safe for
// concurrent use.
type past struct {
	ledger Reader

	mu    sync.Mutex
	known map[string]chapter // by service
}

// chapter is one service's former rollouts at one state of its current one.
type chapter struct {
	state   string
	formers []former
}

func newPast(ledger Reader) *past {
	return &past{ledger: ledger, known: make(map[string]chapter)}
}

// of gives the last former rollouts of a service, the newest first.
func (p *past) of(ctx context.Context, s status.Service) ([]former, error) {
	if s.Rollout == nil {
		return nil, nil
	}
	state := fmt.Sprint(s.Rollout.ID, s.Rollout.Phase.Ended())
	p.mu.Lock()
	have := p.known[s.Name]
	p.mu.Unlock()
	if have.state == state {
		return have.formers, nil
	}
	records, err := p.ledger.History(ctx, s.Name)
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", s.Name, err)
	}
	have = chapter{state: state}
	for _, r := range slices.Backward(records[max(len(records)-shown, 0):]) {
		have.formers = append(have.formers, former{
			Version: r.Version, Pool: r.Pool, By: r.By, Outcome: r.Outcome,
			Phase: r.Phase, Begun: r.At, Ended: r.Entered,
		})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[s.Name] = have
	return have.formers, nil
}
