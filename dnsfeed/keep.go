package dnsfeed

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"switchd/consul"
)

// The pace at which what answers are made of follows what it is derived from.
const (
	// coalesce is how long changes are gathered, so that many nodes that
	// change at once are one write.
	coalesce = 100 * time.Millisecond
	// stepBack is how much longer, at most, those wait that don't drive.
	stepBack = time.Second
	// retryAfter follows a write that failed.
	retryAfter = time.Second
)

// keep has the records that answers are made of follow the desired state and
// health until ctx ends.
func (s *state) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.behind:
		}
		wait := coalesce
		if driving := s.feed.Driving; driving == nil || !driving() {
			wait += rand.N(stepBack)
		}
		pause(ctx, wait)
		err := s.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.complain(following, err)
		s.mu.Unlock()
		if err != nil {
			pause(ctx, retryAfter)
			s.lookAgain()
		}
	}
}

// follow writes what is behind now.
func (s *state) follow(ctx context.Context) error {
	s.mu.Lock()
	names, services := s.different()
	ahead := s.ahead()
	s.mu.Unlock()
	l := s.feed.ledger()
	var errs []error
	if ahead != 0 {
		s.feed.Log.WarnContext(ctx, "the serial in Consul is older than the one that is served; moved past it", "served", ahead)
		errs = append(errs, l.MoveSerialPast(ctx, ahead))
	}
	if names {
		_, err := l.DeriveNames(ctx)
		errs = append(errs, err)
	}
	if len(services) > 0 {
		_, err := l.DeriveAnswering(ctx, services...)
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if errors.Is(err, consul.ErrConflict) {
		s.lookAgain() // somebody was faster, with this or with something else
		return nil
	}
	return err
}

// different tells whether the record of names, and of which services those of
// the answering nodes, aren't what they are derived from, as far as both were
// seen.
func (s *state) different() (names bool, services []string) {
	if !s.seen[lives] {
		return false, nil
	}
	if wanted, known := s.wanted(); known {
		names = !wanted.Same(s.names)
	}
	current := s.current()
	if current == nil {
		return names, nil
	}
	for service := range current.Services {
		if health := s.health[service]; health != nil && !s.answering[service].Next(health).Same(s.answering[service]) {
			services = append(services, service)
		}
	}
	return names, services
}

// ahead is the serial that is served if the one in Consul is older, which was
// lost then and began anew, or comes from a backup; 0 if all is well. Nobody
// would follow the zone until it has caught up.
func (s *state) ahead() uint32 {
	names, served := s.current(), s.feed.Server.View()
	if s.serial == 0 || names == nil || served == nil || served.Zone.Name != names.Zone.Name || int32(served.Serial-s.serial) <= 0 {
		return 0
	}
	return served.Serial
}

// lookAgain has keep look whether something is behind.
func (s *state) lookAgain() {
	select {
	case s.behind <- struct{}{}:
	default:
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
