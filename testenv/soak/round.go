package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"switchd/pools"
	"switchd/rollout"
	"switchd/testenv/cluster"
)

// The exit statuses that tell a refusal from a failure.
const (
	statusUnreachable = 4
	statusUnhealthy   = 8
	statusNothing     = 9
)

// patience is how long a rollout may take after the last fault has ended.
const patience = 2 * time.Minute

// soak runs some rounds, and judges them.
func (s *storm) soak(ctx context.Context, rounds int) error {
	s.say("the seed is %d", s.seed)
	err := s.open(ctx)
	for n := 0; err == nil && n < rounds; n++ {
		err = s.round(ctx, n)
	}
	err = errors.Join(err, s.close())
	if err != nil {
		return err
	}
	return s.judge()
}

// round is one promotion with a fault at some time, and now and then a
// rollback.
func (s *storm) round(ctx context.Context, n int) error {
	f := s.pick(n)
	late := time.Duration(s.random.IntN(6000)) * time.Millisecond
	back := n%3 == 2
	before, err := s.ledger.Live(ctx, "web")
	if err != nil {
		return err
	}
	version := versions[(slices.Index(versions, before.Version)+1)%len(versions)]
	s.users.Mark(f.name)
	if err := s.operate(ctx, "promote", "--detach", "web", version); err != nil {
		return fmt.Errorf("round %d: %w", n, err)
	}
	pause(ctx, late)
	s.count(f.name)
	end, err := f.begin(ctx, s)
	if err != nil {
		return fmt.Errorf("round %d: %s: %w", n, f.name, err)
	}
	pause(ctx, f.lasts)
	if err := end(); err != nil {
		return fmt.Errorf("round %d: the end of: %s: %w", n, f.name, err)
	}
	record, halts, err := s.ended(ctx, version)
	if err != nil {
		return fmt.Errorf("round %d: %s: %w", n, f.name, err)
	}
	s.count(string(record.Phase))
	s.say("round %d: %s after %v: %s is %s (%s)", n, f.name, late, version, record.Phase, record.Outcome)
	if err := s.judgeRound(ctx, f, *before, record, halts); err != nil {
		return fmt.Errorf("round %d: %w", n, err)
	}
	if back && record.Phase == rollout.Done {
		return s.rollBack(ctx)
	}
	return nil
}

// pick chooses a round's fault: all of them once, and then by chance.
func (s *storm) pick(n int) fault {
	all := faults()
	if n < len(all) {
		return all[n]
	}
	return all[s.random.IntN(len(all))]
}

// operate runs a command, again if Consul could not be reached.
func (s *storm) operate(ctx context.Context, args ...string) error {
	for deadline := time.Now().Add(time.Minute); ; pause(ctx, 200*time.Millisecond) {
		_, err := s.cluster.Switchd(ctx, args...)
		if cluster.Status(err) != statusUnreachable || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
	}
}

// release brings a version live in good weather.
func (s *storm) release(ctx context.Context, version string) error {
	if err := s.operate(ctx, "promote", "--detach", "web", version); err != nil {
		return err
	}
	record, _, err := s.ended(ctx, version)
	if err == nil && record.Phase != rollout.Done {
		err = fmt.Errorf("%s is %s: %s", version, record.Phase, record.Outcome)
	}
	return err
}

// ended waits for the end of a rollout, and resumes it when it was halted.
func (s *storm) ended(ctx context.Context, version string) (record *rollout.Record, halts int, err error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; pause(ctx, 100*time.Millisecond) {
		now, err := s.ledger.Record(ctx, "web")
		if err != nil || now == nil || now.Version != version {
			continue
		}
		record = now
		switch {
		case record.Phase.Ended():
			return record, halts, nil
		case record.Phase == rollout.Halted:
			halts++
			s.count("halted")
			// Whatever has halted it may still be there, and does it again.
			if err := s.operate(ctx, "resume", "web"); err != nil && cluster.Status(err) != statusNothing {
				s.say("not resumed: %v", err)
			}
			pause(ctx, time.Second)
		}
	}
	if record == nil {
		return nil, halts, fmt.Errorf("there is no rollout of %s", version)
	}
	return nil, halts, fmt.Errorf("the rollout of %s did not end within %v: %s, waits %+v", version, patience, record.Phase, record.Wait)
}

// judgeRound holds the end of a round to the promises.
func (s *storm) judgeRound(ctx context.Context, f fault, before pools.Live, record *rollout.Record, halts int) error {
	live, err := s.ledger.Live(ctx, "web")
	if err != nil {
		return err
	}
	switch {
	case record.Phase != rollout.Done && !f.rough:
		s.breaks("%s: the rollout of %s ended %s: %s", f.name, record.Version, record.Phase, record.Outcome)
	case record.Phase == rollout.Done && live.Side() != record.Target():
		s.breaks("%s: the rollout is done, and live is %s, not %s", f.name, live.Side(), record.Target())
	case record.Phase != rollout.Done && live.Side() != before.Side():
		s.breaks("%s: the rollout is %s, and live is %s, not %s", f.name, record.Phase, live.Side(), before.Side())
	case record.Phase == rollout.Done && halts == 0 && live.Generation != before.Generation+2:
		s.breaks("%s: a step was done twice: from %+v to %+v", f.name, before, live)
	}
	return nil
}

// rollBack takes the last rollout back. Where the former pool can't serve, it
// must be refused.
func (s *storm) rollBack(ctx context.Context) error {
	before, err := s.ledger.Live(ctx, "web")
	if err != nil {
		return err
	}
	err = s.operate(ctx, "rollback", "web")
	if status := cluster.Status(err); status == statusUnhealthy || status == statusNothing {
		s.count("rollbacks refused")
		s.say("not rolled back: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	s.count("rollbacks")
	after, err := s.ledger.Live(ctx, "web")
	if err != nil {
		return err
	}
	if after.Side() != before.Previous || after.Generation != before.Generation+1 {
		s.breaks("rolled back from %+v to %+v", before, after)
	}
	return nil
}

// judge holds what the observers saw to the promises, and tells it.
func (s *storm) judge() error {
	requests := 0
	for _, chapter := range s.users.Snapshot() {
		requests += chapter.Succeeded()
		if chapter.Failed() > 0 {
			s.breaks("requests failed: %s", chapter)
		}
	}
	if err := s.history.Check(s.dir); err != nil {
		s.breaks("the history of the records: %v", err)
	}
	for _, what := range slices.Sorted(maps.Keys(s.tally)) {
		s.say("%4d  %s", s.tally[what], what)
	}
	s.say("%d requests; at least %v nodes served at all times; %s", requests, s.least, s.history.Counts())
	if len(s.broken) > 0 {
		return fmt.Errorf("%d promises were broken (seed %d):\n%s", len(s.broken), s.seed, strings.Join(s.broken, "\n"))
	}
	return nil
}
