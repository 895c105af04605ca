package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// session is what an instance is made of: its leader, which is the shim where
// there is one, everything that was forked in its session, and what left the
// session but carries the shim's mark.
type session struct {
	leader   identity
	instance string
}

// members returns the living processes of the session.
func (s session) members() ([]stat, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	if boot != s.leader.boot {
		return nil, nil
	}
	leader, err := readStat(s.leader.pid)
	orphaned := gone(err)
	if err != nil && !orphaned {
		return nil, err
	}
	// The kernel gives a number to another process only when no process has
	// it as its session any more.
	reused := !orphaned && leader.start != s.leader.start
	all, err := processes()
	if err != nil {
		return nil, err
	}
	var members []stat
	for _, m := range all {
		if m.ended() {
			continue
		}
		inside := m.session == s.leader.pid && !reused
		if inside && !orphaned {
			members = append(members, m)
			continue
		}
		// Without a leader to tell by, those inside might be the orphans of a
		// later session of the same number.
		if marks := readMarks(m.pid); marks.instance == s.instance && (inside || marks.shim == s.leader.mark()) {
			members = append(members, m)
		}
	}
	return members, nil
}

// signal sends sig to each member, one by one and never by a group's number,
// which could be another's by the time that it is used.
func (s session) signal(sig syscall.Signal) error {
	members, err := s.members()
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range members {
		errs = append(errs, send(m.pid, m.start, sig))
	}
	return errors.Join(errs...)
}

// wait returns when no member is left, or with ctx's error.
func (s session) wait(ctx context.Context) error {
	for {
		members, err := s.members()
		if err != nil || len(members) == 0 {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := await(ctx, members[0].pid, members[0].start); err != nil {
			return err
		}
	}
}

// kill sends SIGKILL until no member is left: one that forks at the wrong
// moment has a child that the first round has missed.
func (s session) kill(ctx context.Context) error {
	for {
		members, err := s.members()
		if err != nil || len(members) == 0 {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.signal(unix.SIGKILL); err != nil {
			return err
		}
		if err := await(ctx, members[0].pid, members[0].start); err != nil {
			return err
		}
	}
}

// left is an error that names the members that are still there.
func (s session) left() error {
	members, err := s.members()
	if err != nil || len(members) == 0 {
		return err
	}
	var pids []int
	for _, m := range members {
		pids = append(pids, m.pid)
	}
	return fmt.Errorf("its processes are still there: pids %v", pids)
}
