package alerts_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"switchd/alerts"
	"switchd/rollout"
	"switchd/spec"
)

// fleet has rollouts of some of its services, in memory.
type fleet map[string]*book

// Record implements alerts.Rollouts.
func (f fleet) Record(ctx context.Context, service string) (*rollout.Record, error) {
	if f[service] == nil {
		return nil, nil //nolint:nilnil // as the interface says
	}
	return f[service].Record(ctx, service)
}

// Do implements alerts.Rollouts.
func (f fleet) Do(ctx context.Context, service, by string, operation func(rollout.Situation) (*rollout.Change, error)) (*rollout.Change, error) {
	return f[service].Do(ctx, service, by, operation)
}

// TestHalter_HaltsInAStormThatConcernsAThousandServices whose matchers don't
// name them. Each alert is told of in a few words, and not for each service.
func TestHalter_HaltsInAStormThatConcernsAThousandServices(t *testing.T) {
	t.Parallel()
	page := spec.Alert{Name: "page", Match: []string{"severity=page"}, Then: spec.ThenHalt}
	var services []spec.Service
	under := make(fleet)
	for i := range 1000 {
		s := service(fmt.Sprintf("web-%d", i), page)
		services = append(services, s)
		if i%200 == 100 {
			under[s.Name] = newBook(s)
			under[s.Name].in(t, rollout.Canary, func(*rollout.Situation) {})
		}
	}
	h := &alerts.Halter{Rollouts: under, Log: discard()}
	if err := h.Know(spec.Environment{Name: "prod"}, services...); err != nil {
		t.Fatal(err)
	}
	const storm = 300
	var many []alerts.Alert
	for i := range storm {
		many = append(many, alert(fmt.Sprint(i), time.Now()))
	}
	outcomes, err := h.Take(t.Context(), many)
	if err != nil {
		t.Fatal(err)
	}
	others := make(map[alerts.Effect]int)
	for _, o := range outcomes {
		others[o.Effect] += 1 + o.Others
	}
	if got, want := fmt.Sprint(others), fmt.Sprint(map[alerts.Effect]int{
		alerts.Halted: len(under), alerts.Standing: len(under) * (storm - 1), alerts.NoRollout: (len(services) - len(under)) * storm,
	}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if most := 2*storm + len(under); len(outcomes) > most {
		t.Errorf("%d outcomes of %d alerts, want %d at most", len(outcomes), storm, most)
	}
	for name, b := range under {
		if b.s.Record.Phase != rollout.Halted {
			t.Errorf("%s is in %s", name, b.s.Record.Phase)
		}
	}
}
