package runner

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Stop sends the stop signal to every process of the instance's session, and
// SIGKILL to those that are left after the grace. It returns when all are
// gone, the leader and what it forked, or with an error that names what is
// left when ctx ends.
//
// A process that made a session of its own has left the instance; Find may
// find it.
func (p *Process) Stop(ctx context.Context, h Handle, inst Instance) error {
	if err := p.stop(ctx, h, inst); err != nil {
		return fmt.Errorf("stop %s %s: %w", inst.ID, inst.Version, err)
	}
	return nil
}

func (p *Process) stop(ctx context.Context, h Handle, inst Instance) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	id, err := parseHandle(h)
	if err != nil {
		return err
	}
	sig, err := stopSignal(inst.StopSignal)
	if err != nil {
		return err
	}
	s := session{leader: id, instance: inst.ID}
	// Who can't be asked is killed later; that error then counts.
	signalErr := s.signal(sig)
	grace, cancel := context.WithTimeout(ctx, inst.StopGrace)
	defer cancel()
	err = s.wait(grace)
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && grace.Err() == nil {
		return errors.Join(err, signalErr)
	}
	if ctx.Err() == nil {
		p.log.WarnContext(ctx, "instance is killed: its stop grace is over", "instance", inst.ID, "version", inst.Version, "grace", inst.StopGrace)
		err = s.kill(ctx)
	}
	if err != nil {
		return errors.Join(err, signalErr, s.left())
	}
	return nil
}

func stopSignal(name string) (syscall.Signal, error) {
	if name == "" {
		return unix.SIGTERM, nil
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("stop signal %q is unknown: use a name such as SIGTERM or SIGINT", name)
}

// session is what an instance is made of: its leader, and everything that it
// forked and that did not leave for a session of its own.
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
	if !orphaned && leader.start != s.leader.start {
		return nil, nil
	}
	all, err := processes()
	if err != nil {
		return nil, err
	}
	var members []stat
	for _, m := range all {
		if m.session != s.leader.pid || m.ended() {
			continue
		}
		// Without a leader to tell by, these might be the orphans of a later
		// session of the same number.
		if orphaned && !carries(m.pid, s.instance) {
			continue
		}
		members = append(members, m)
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
