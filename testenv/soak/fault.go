package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"switchd/testenv/clock"
	"switchd/testenv/cluster"
	"switchd/testenv/netns"
)

// fault is what goes wrong in a round.
type fault struct {
	name string
	// begin begins it, and gives what ends it.
	begin func(ctx context.Context, s *storm) (end func() error, err error)
	lasts time.Duration
	// rough tells that Consul may take pools for dead that are well, or clocks
	// deadlines for over: the rollout must end, but it may end as failed.
	rough bool
}

// faults are all that are known, those that a short run has to have first.
func faults() []fault {
	return []fault{
		{name: "the driver and Consul can't reach each other", lasts: outlasting, begin: cutDriver(true, true)},
		{name: "Consul's leader is killed", lasts: 3 * time.Second, begin: killLeader},
		{name: "the driver's words to Consul come after its lease was lost", lasts: outlasting, begin: delayDriver},
		{name: "all of Consul is killed", lasts: outlasting, begin: killConsul, rough: true},
		{name: "the driver is stopped for longer than its lease", lasts: outlasting, begin: stopDriver},
		{name: "everybody halts at once", lasts: time.Second, begin: haltAtOnce},
		{name: "the driver's clock is an hour ahead", lasts: 4 * time.Second, begin: shiftClock(time.Hour), rough: true},
		{name: "what the driver says to Consul gets lost", lasts: outlasting, begin: cutDriver(true, false)},
		{name: "the driver is killed", lasts: time.Second, begin: killDriver},
		{name: "what Consul says to the driver gets lost", lasts: outlasting, begin: cutDriver(false, true)},
		{name: "the driver's clock is an hour back", lasts: 4 * time.Second, begin: shiftClock(-time.Hour), rough: true},
		{name: "all of Consul is stopped", lasts: outlasting, begin: stopConsul, rough: true},
		{name: "another replica is killed", lasts: time.Second, begin: killOther},
		{name: "an agent is killed", begin: killAgent},
	}
}

// driver is the replica that holds the lease, and another one.
func (s *storm) driver(ctx context.Context) (driver, other *cluster.Replica, err error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && ctx.Err() == nil; pause(ctx, 50*time.Millisecond) {
		name, err := s.ledger.Driver(ctx)
		if err != nil {
			continue
		}
		for i, r := range s.cluster.Replicas {
			if r.Name == name {
				return r, s.cluster.Replicas[1-i], nil
			}
		}
	}
	return nil, nil, errors.Join(errors.New("nobody drives"), ctx.Err())
}

// cutDriver has what the driver's host and the hosts of Consul's servers send to
// each other get lost, in one direction or both. Users still reach the driver.
func cutDriver(to, from bool) func(ctx context.Context, s *storm) (func() error, error) {
	return func(ctx context.Context, s *storm) (func() error, error) {
		driver, _, err := s.driver(ctx)
		if err != nil {
			return nil, err
		}
		var errs []error
		var mend []func() error
		lose := func(a, b *netns.Host) {
			errs = append(errs, a.Lose(b))
			mend = append(mend, func() error { return a.Find(b) })
		}
		for _, server := range s.cluster.Servers {
			if to {
				lose(driver.Host(), server.Host())
			}
			if from {
				lose(server.Host(), driver.Host())
			}
		}
		return func() error { return all(mend) }, errors.Join(errs...)
	}
}

func all(do []func() error) error {
	var errs []error
	for _, f := range do {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func killLeader(ctx context.Context, s *storm) (func() error, error) {
	leader, err := s.cluster.Leader(ctx)
	if err != nil {
		return nil, err
	}
	return func() error { return leader.Start(ctx) }, leader.Kill()
}

func killConsul(ctx context.Context, s *storm) (func() error, error) {
	var errs []error
	var back []func() error
	for _, server := range s.cluster.Servers {
		errs = append(errs, server.Kill())
		back = append(back, func() error { return server.Start(ctx) })
	}
	return func() error { return all(back) }, errors.Join(errs...)
}

func stopConsul(_ context.Context, s *storm) (func() error, error) {
	var errs []error
	var back []func() error
	for _, server := range s.cluster.Servers {
		errs = append(errs, server.Signal(unix.SIGSTOP))
		back = append(back, func() error { return server.Signal(unix.SIGCONT) })
	}
	return func() error { return all(back) }, errors.Join(errs...)
}

func stopDriver(ctx context.Context, s *storm) (func() error, error) {
	driver, _, err := s.driver(ctx)
	if err != nil {
		return nil, err
	}
	return func() error { return driver.Signal(unix.SIGCONT) }, driver.Signal(unix.SIGSTOP)
}

func killDriver(ctx context.Context, s *storm) (func() error, error) {
	driver, _, err := s.driver(ctx)
	if err != nil {
		return nil, err
	}
	return func() error { return driver.Start(ctx) }, driver.Kill()
}

func killOther(ctx context.Context, s *storm) (func() error, error) {
	_, other, err := s.driver(ctx)
	if err != nil {
		return nil, err
	}
	return func() error { return other.Start(ctx) }, other.Kill()
}

func killAgent(ctx context.Context, s *storm) (func() error, error) {
	agent := s.cluster.Agents[s.random.IntN(len(s.cluster.Agents))]
	return func() error { return agent.Start(ctx) }, agent.Kill()
}

// shiftClock sets the driver's time of day wrong, and right again.
func shiftClock(by time.Duration) func(ctx context.Context, s *storm) (func() error, error) {
	return func(ctx context.Context, s *storm) (func() error, error) {
		driver, _, err := s.driver(ctx)
		if err != nil {
			return nil, err
		}
		return func() error { return clock.Shift(driver.Pid(), 0) }, clock.Shift(driver.Pid(), by)
	}
}

// delayDriver has the next write of the driver's, and all that it says from then
// on, come to Consul only when another replica has just taken the lease.
func delayDriver(ctx context.Context, s *storm) (func() error, error) {
	driver, _, err := s.driver(ctx)
	if err != nil {
		return nil, err
	}
	s.late.catch(driver.Name)
	return func() error {
		if s.late.end() {
			s.count("writes that came after the lease was lost")
		}
		return nil
	}, nil
}

// haltAtOnce has two operators halt, and Alertmanager tell all replicas, whether
// they drive or not, at the same time.
func haltAtOnce(ctx context.Context, s *storm) (func() error, error) {
	began := time.Now().UTC()
	tellAll := func(status string) []func() error {
		var tell []func() error
		for _, r := range s.cluster.Replicas {
			tell = append(tell, func() error { return r.Alert(ctx, s.token, status, "web", began) })
		}
		return tell
	}
	halt := func() error {
		_, err := s.cluster.Switchd(ctx, "halt", "web", "--why", "to be looked at")
		if cluster.Status(err) == statusNothing {
			return nil // somebody else was faster
		}
		return err
	}
	var group errgroup.Group
	for _, do := range append(tellAll("firing"), halt, halt) {
		group.Go(do)
	}
	return func() error { return all(tellAll("resolved")) }, group.Wait()
}
