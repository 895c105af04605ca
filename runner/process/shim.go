package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// Shim is the main function of the command that New is given: one process for
// each instance, so that an agent can end, and be replaced, while its services
// run. What to do it reads from its stdin. It returns the exit status.
//
// A shim leads the session of its service, writes the service's output to its
// log, starts it again when it ends, and ends it, and all that it ever forked,
// when it is asked to over its socket, by SIGTERM or by the end of ctx. When
// the shim is killed, its service is too.
func Shim(ctx context.Context) int {
	// A shim lives as long as its service, and there are many of them.
	debug.SetGCPercent(20)
	reports := os.NewFile(reportFD, "report")
	unix.CloseOnExec(reportFD)
	t, err := take[task](os.Stdin)
	if err != nil {
		err = fmt.Errorf("read what to do: %w; a shim is started by an agent", err)
		fmt.Fprintln(os.Stderr, err)
		return answerTask(reports, err)
	}
	switch t.Do {
	case doCheck:
		return answerTask(reports, try(t.Program))
	case doExecute:
		return answerTask(reports, become(t.Program, t.Parent))
	case doSupervise:
		return supervise(ctx, t, reports)
	}
	return answerTask(reports, fmt.Errorf("this shim does not know how to %q: it is older than its agent", t.Do))
}

// answerTask reports how a task has ended.
func answerTask(to *os.File, result error) int {
	r, status := report{Version: wireVersion}, 0
	if result != nil {
		r.Error, status = result.Error(), 1
	}
	if err := errors.Join(json.NewEncoder(to).Encode(r), to.Close()); err != nil {
		status = 1
	}
	return status
}

func supervise(ctx context.Context, t task, reports *os.File) int {
	// The agent that reads the report may be gone. Not signal.Ignore: the
	// service would inherit that.
	unheeded := make(chan os.Signal, 1)
	signal.Notify(unheeded, unix.SIGHUP, unix.SIGPIPE)
	defer signal.Stop(unheeded)
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	defer signal.Stop(children)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	// It ends with its supervisor, whatever that is: the socket answers until then.
	s, finish, err := prepare(t)
	if err != nil {
		return answerTask(reports, err)
	}
	defer finish()
	l, err := listen(ctx, t.Socket)
	if err != nil {
		return answerTask(reports, err)
	}
	defer os.Remove(t.Socket) //nolint:errcheck // The next shim removes it too.
	defer l.Close()           //nolint:errcheck // Nobody asks any more.
	if err := s.start(time.Now()); err != nil {
		return answerTask(reports, err)
	}
	answerTask(reports, nil)

	queries, done := make(chan query), make(chan struct{})
	defer close(done)
	go serve(l, queries, done)
	debug.FreeOSMemory()
	s.run(ctx, children, queries)
	return 0
}

// prepare makes what a service needs: the lock, the way to its log, and the
// adoption of its orphans. finish waits for the last output.
func prepare(t task) (s *supervisor, finish func(), err error) {
	self, err := identify(os.Getpid())
	if err != nil {
		return nil, nil, fmt.Errorf("identify the shim: %w", err)
	}
	// Processes that leave the service become the shim's children.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, nil, fmt.Errorf("adopt orphans: %w", err)
	}
	locked, err := lock(t.Socket)
	if err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make a pipe for the log: %w", err), locked.Close())
	}
	if a := t.Program.Account; a.Set {
		// So that it can open /dev/stdout, as some do.
		err = unix.Fchown(int(w.Fd()), a.UID, a.GID)
	}
	out := capture(r, rotating(t.LogFile))
	s = &supervisor{task: t, self: self, sink: w, out: out}
	finish = func() {
		_ = w.Close() // The readers see the end when nobody else has it.
		select {
		case <-out.done:
		case <-time.After(stall): // A disk that hangs must not keep the next version from starting.
		}
		_ = locked.Close() // The kernel does it at the latest.
	}
	if err != nil {
		finish()
		return nil, nil, fmt.Errorf("give the pipe for the log to its user: %w", err)
	}
	return s, finish, nil
}
