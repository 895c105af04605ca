package driver

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"switchd/dnsflip"
	"switchd/gate"
	"switchd/replica"
	"switchd/rollout"
)

// proofEvery is the pace at which replicas are asked until all show a switch.
const proofEvery = 20 * time.Millisecond

// proof waits until every replica that answers leads to the new pool. A
// replica that Consul holds for dead and that doesn't answer can't lead
// anybody anywhere; it is left out and named.
func (w *World) proof(ctx context.Context, s rollout.Situation) gate.Verdict {
	env, err := w.Environment(ctx)
	if err != nil {
		return gate.Undecided("the environment can't be read: %v", err)
	}
	if env.Zone == nil {
		return gate.Failed("environment %s has no zone to switch in", env.Name)
	}
	name := s.Spec.Switch.Name + "." + env.Zone.Name
	replicas, err := replica.List(ctx, w.Consul, w.Keys.Env)
	if err != nil {
		return gate.Undecided("the replicas can't be listed: %v", err)
	}
	answers := make([]answer, len(replicas))
	var asking sync.WaitGroup
	for i, r := range replicas {
		asking.Go(func() { answers[i] = ask(ctx, r, name, s.Record.Pool) })
	}
	asking.Wait()
	var evidence, missing []string
	proved := 0
	for _, a := range answers {
		evidence = append(evidence, a.text)
		switch {
		case a.shows:
			proved++
		case a.counts:
			missing = append(missing, a.text)
		}
	}
	switch {
	case len(missing) > 0:
		return gate.Undecided("%s", strings.Join(missing, "; "))
	case proved == 0:
		return gate.Undecided("no replica with DNS answers")
	}
	verdict := gate.Passed("%d of %d replicas lead %s to %s, the last one %s after the write", proved, len(replicas), name, s.Record.Pool,
		time.Since(s.Record.SwitchedAt).Round(time.Millisecond))
	verdict.Evidence = evidence
	return verdict
}

// answer is what one replica said.
type answer struct {
	text   string
	shows  bool // it leads to the new pool
	counts bool // it must show the switch, and doesn't
}

// ask asks one replica until it shows the switch, for two seconds at most.
func ask(ctx context.Context, r replica.Replica, name, pool string) answer {
	if r.DNS == "" {
		return answer{text: r.Name + " serves no DNS"}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var last answer
	for {
		got, serial, err := dnsflip.Ask(ctx, r.DNS, name)
		switch {
		case err == nil && got == pool:
			return answer{text: fmt.Sprintf("%s answers %s, serial %d", r.Name, got, serial), shows: true}
		case err == nil:
			last = answer{text: fmt.Sprintf("%s (%s) still answers %s", r.Name, r.DNS, got), counts: true}
		case last.text != "" && ctx.Err() != nil:
			// The time is over; what was learned before it stands.
		default:
			last = answer{text: fmt.Sprintf("%s (%s) does not answer: %v", r.Name, r.DNS, err), counts: r.Passing}
			if !r.Passing {
				last.text += "; Consul holds it for dead"
			}
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(proofEvery):
		}
	}
}
