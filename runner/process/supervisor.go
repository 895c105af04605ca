package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor keeps one service running. All of it belongs to one goroutine,
// which is locked to its thread: the service is to die with its parent, and
// that is a thread.
type supervisor struct {
	task task
	self identity
	sink *os.File // the service's end of the pipe to its log
	out  *output

	leader   int       // the service's first process; 0 while there is none
	started  time.Time // its start
	empty    bool      // no child is left, not even an adopted one
	ending   bool      // what is left of it has been told to end
	killAt   time.Time // when what is left is killed
	stopping bool      // it is not to be started again
	crashes  crashes
	restarts int
	nextRun  time.Time
}

// killAgain is how often those are killed that are still there: one that
// forks at the wrong moment has a child that the last round has missed.
const killAgain = 20 * time.Millisecond

// query is an order with the way back for the answer.
type query struct {
	order  order
	answer chan answer
}

// run keeps the service running until it is stopped and nothing is left of it.
func (s *supervisor) run(ctx context.Context, children <-chan os.Signal, queries <-chan query) {
	stop := ctx.Done()
	for {
		s.reap()
		wake, finished := s.step(time.Now())
		if finished {
			return
		}
		var timer <-chan time.Time
		if !wake.IsZero() {
			timer = time.After(max(0, time.Until(wake)))
		}
		select {
		case <-children:
		case <-timer:
		case <-stop:
			stop = nil
			s.stop(unix.Signal(s.task.StopSignal), s.task.StopGrace)
		case q := <-queries:
			if q.order.Stop != nil {
				s.stop(unix.Signal(q.order.Stop.Signal), q.order.Stop.Grace)
			}
			q.answer <- s.answer(time.Now())
		}
	}
}

// step does what is due and returns when something will be, if that is known.
func (s *supervisor) step(now time.Time) (wake time.Time, finished bool) {
	switch {
	case s.empty && s.stopping:
		return time.Time{}, true
	case s.empty && now.Before(s.nextRun):
		return s.nextRun, false
	case s.empty:
		s.restarts++
		if err := s.start(now); err != nil {
			s.ended(now, "it can't be started: "+err.Error())
		}
		return now, false
	case s.leader != 0 && !s.ending:
		return time.Time{}, false
	case !s.ending:
		// The service has left something behind. It must not run beside the next.
		s.end(unix.Signal(s.task.StopSignal), now.Add(s.task.StopGrace))
		return s.killAt, false
	case now.Before(s.killAt):
		return s.killAt, false
	}
	s.signal(unix.SIGKILL)
	return now.Add(killAgain), false
}

// start runs the service and returns when it has been executed.
func (s *supervisor) start(now time.Time) error {
	pid, err := s.fork()
	if err != nil {
		return err
	}
	s.leader, s.started, s.empty, s.ending = pid, now, false, false
	return nil
}

func (s *supervisor) fork() (pid int, err error) {
	p := s.task.Program
	p.Env = append(slices.Clip(p.Env), shimVar+"="+s.self.mark())
	stdin, err := give(task{Do: doExecute, Program: p, Parent: s.self.pid})
	if err != nil {
		return 0, err
	}
	defer stdin.Close() //nolint:errcheck // In memory.
	r, w, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("make a pipe for the report: %w", err)
	}
	defer r.Close() //nolint:errcheck // Opened for reading.
	// Not os.StartProcess: all children, adopted ones too, are reaped in one place.
	pid, err = syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{stdin.Fd(), s.sink.Fd(), s.sink.Fd(), w.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err := errors.Join(err, w.Close()); err != nil {
		return 0, fmt.Errorf("fork: %w", err)
	}
	if err := awaitReport(r); err != nil {
		var status syscall.WaitStatus
		_, waitErr := syscall.Wait4(pid, &status, 0, nil)
		return 0, errors.Join(err, waitErr)
	}
	return pid, nil
}

// awaitReport returns the error that is reported. The end of the pipe without
// one is the execution, which has closed it.
func awaitReport(r io.Reader) error {
	result, err := take[report](r)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("read its report: %w", err)
	case result.Error != "":
		return errors.New(result.Error)
	}
	return nil
}

// reap takes the exit status of every child that has ended: the service, and
// orphans of it.
func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil: // ECHILD
			s.empty = true
			return
		case pid <= 0:
			s.empty = false
			return
		case pid == s.leader:
			s.leader = 0
			s.ended(time.Now(), describe(status))
		}
	}
}

// ended notes the end of a run, or of the attempt at one.
func (s *supervisor) ended(now time.Time, how string) {
	if s.started.IsZero() {
		s.started = now
	}
	s.nextRun = now.Add(s.crashes.ended(s.started, now, how))
	s.started = time.Time{}
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		name := unix.SignalName(status.Signal())
		if status.CoreDump() {
			name += " (core dumped)"
		}
		return "killed by " + name
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// stop ends the service for good. Asked again, the signal is sent again, and
// the shorter grace counts.
func (s *supervisor) stop(sig unix.Signal, grace time.Duration) {
	s.stopping = true
	s.end(sig, time.Now().Add(grace))
}

func (s *supervisor) end(sig unix.Signal, killAt time.Time) {
	if !s.ending || killAt.Before(s.killAt) {
		s.killAt = killAt
	}
	s.ending = true
	s.signal(sig)
}

// signal signals all that is there. Who can't be asked is killed later, or is
// gone already; the agent sees what is left in the end.
func (s *supervisor) signal(sig unix.Signal) {
	family, err := descendants(s.self.pid)
	if err := errors.Join(err, signalAll(family, sig)); err != nil {
		fmt.Fprintln(os.Stderr, "switchd: signal the service:", err)
	}
}

func (s *supervisor) answer(now time.Time) answer {
	a := answer{Version: wireVersion, PID: s.leader, Restarts: s.restarts, Why: s.crashes.why(s.started, now)}
	if lost := s.out.why(); lost != "" {
		if a.Why != "" {
			a.Why += "; "
		}
		a.Why += lost
	}
	return a
}
