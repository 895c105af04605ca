//go:build linux

package proc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/testenv/proc"
)

// helperName makes the test binary a program with a group of its own.
const helperName = "PROC_TEST_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperName); dir != "" {
		if err := helper(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// helper starts a program in a group and waits to be killed.
func helper(dir string) error {
	g, err := proc.NewGroup()
	if err != nil {
		return err
	}
	ctx := context.Background()
	p, err := g.Start(ctx, "inner", filepath.Join(dir, "inner.log"), []string{"sleep", "1000"}, nil)
	if err != nil {
		return err
	}
	if err := writePid(filepath.Join(dir, "inner.pid"), p.Pid()); err != nil {
		return err
	}
	return p.Wait(ctx)
}

func writePid(path string, pid int) error {
	if err := os.WriteFile(path+".new", []byte(strconv.Itoa(pid)), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// sh starts a shell script, which finds its folder in $DIR.
func sh(t *testing.T, g *proc.Group, script string) (*proc.Process, string) {
	t.Helper()
	dir := t.TempDir()
	p, err := g.Start(t.Context(), "sh", filepath.Join(dir, "log"), []string{"sh", "-c", script}, []string{"DIR=" + dir})
	if err != nil {
		t.Fatal(err)
	}
	return p, dir
}

// until waits for something to come true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// pidIn waits for the process id that a script writes to a file.
func pidIn(t *testing.T, path string) int {
	t.Helper()
	var pid int
	until(t, path, func() bool {
		text, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	return pid
}

// there tells whether a process exists, be it a zombie.
func there(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestGroup_CloseEndsADaemonWhoseParentWasKilled(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]string{
		"inherited environment": `setsid sleep 1000 &`,
		"cleaned environment":   `env -i setsid sleep 1000 &`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := proc.ForTest(t)
			parent, dir := sh(t, g, start+` echo $! >"$DIR/pid"; wait`)
			daemon := pidIn(t, filepath.Join(dir, "pid"))
			if err := parent.Kill(); err != nil {
				t.Fatal(err)
			}
			if there(parent.Pid()) || !there(daemon) {
				t.Fatalf("after the kill: parent there %t, daemon there %t; want false, true", there(parent.Pid()), there(daemon))
			}
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			if there(daemon) {
				t.Errorf("the daemon %d outlived Close", daemon)
			}
		})
	}
}

func TestGroup_KnowsADaemonThatForkedTwiceByItsMark(t *testing.T) {
	t.Parallel()
	g := proc.ForTest(t)
	name, value := g.Mark()
	p, dir := sh(t, g, `env -i `+name+`=`+value+` sh -c 'setsid sleep 1000 & echo $! >"$0"' "$DIR/pid"`)
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	daemon := pidIn(t, filepath.Join(dir, "pid"))
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if there(daemon) {
		t.Errorf("the daemon %d outlived Close", daemon)
	}
}

func TestGroup_ReapsOrphansAsInitWould(t *testing.T) {
	t.Parallel()
	g := proc.ForTest(t)
	parent, dir := sh(t, g, `setsid sleep 1000 & echo $! >"$DIR/pid"; wait`)
	orphan := pidIn(t, filepath.Join(dir, "pid"))
	if err := parent.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(orphan, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the orphan is reaped", func() bool { return !there(orphan) })
}

func TestGroup_EndsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	mine, other := proc.ForTest(t), proc.ForTest(t)
	const script = `setsid sleep 1000 & echo $! >"$DIR/pid"`
	_, myDir := sh(t, mine, script)
	_, otherDir := sh(t, other, script)
	myPid, otherPid := pidIn(t, filepath.Join(myDir, "pid")), pidIn(t, filepath.Join(otherDir, "pid"))
	if err := mine.Close(); err != nil {
		t.Fatal(err)
	}
	if there(myPid) {
		t.Errorf("my daemon %d outlived Close", myPid)
	}
	if pids, err := other.Pids(); err != nil || !there(otherPid) || len(pids) != 1 || pids[0] != otherPid {
		t.Errorf("the other group has %v (%v), want [%d]", pids, err, otherPid)
	}
}

func TestGroup_CloseEndsWhatDoesNotWantTo(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"ignores SIGTERM": `trap '' TERM; echo $$ >"$DIR/pid"; while :; do sleep 1000; done`,
		"is stopped":      `echo $$ >"$DIR/pid"; kill -STOP $$`,
		"starts another":  `trap 'setsid sleep 1000 & exit' TERM; echo $$ >"$DIR/pid"; while :; do sleep 0.01; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := proc.ForTest(t)
			p, dir := sh(t, g, script)
			pidIn(t, filepath.Join(dir, "pid"))
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			if pids, err := g.Pids(); err != nil || len(pids) > 0 || there(p.Pid()) {
				t.Errorf("left after Close: %v (%v)", pids, err)
			}
		})
	}
}

func TestGroup_LeavesWaitsToOsExec(t *testing.T) {
	t.Parallel()
	g := proc.ForTest(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 15 {
				if err := exec.CommandContext(t.Context(), "true").Run(); err != nil {
					t.Errorf("a command outside the group: %v", err)
				}
				dir := t.TempDir()
				p, err := g.Start(t.Context(), "exit", filepath.Join(dir, "log"), []string{"sh", "-c", "exit 3"}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				var exit *exec.ExitError
				if err := p.Wait(t.Context()); !errors.As(err, &exit) || exit.ExitCode() != 3 {
					t.Errorf("got %v, want exit status 3", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestGroup_DiesWithTheProcessThatHasIt(t *testing.T) {
	t.Parallel()
	g := proc.ForTest(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p, err := g.Start(t.Context(), "helper", filepath.Join(dir, "log"), []string{self}, []string{helperName + "=" + dir})
	if err != nil {
		t.Fatal(err)
	}
	inner := pidIn(t, filepath.Join(dir, "inner.pid"))
	if pids, err := g.Pids(); err != nil || len(pids) != 2 {
		t.Errorf("the outer group has %v (%v), want %d and %d", pids, err, p.Pid(), inner)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "the inner program ended", func() bool { return !there(inner) })
}

func TestGroup_StartNamesWhatItCouldNotStart(t *testing.T) {
	t.Parallel()
	g := proc.ForTest(t)
	log := filepath.Join(t.TempDir(), "log")
	if _, err := g.Start(t.Context(), "consul", log, []string{"/no/such/program"}, nil); err == nil || !strings.Contains(err.Error(), "start consul: fork/exec /no/such/program") {
		t.Errorf("a missing program: got %v", err)
	}
	if _, err := g.Start(t.Context(), "consul", log, nil, nil); err == nil {
		t.Error("no program at all: no error")
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Start(t.Context(), "consul", log, []string{"true"}, nil); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after Close: got %v", err)
	}
}

func TestProcess_WaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	g := proc.ForTest(t)
	p, _ := sh(t, g, `sleep 1000`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestProcess_LogTailIsTheEnd(t *testing.T) {
	t.Parallel()
	g := proc.ForTest(t)
	p, dir := sh(t, g, `i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done; echo the end >&2`)
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	tail, err := p.LogTail()
	if err != nil || !strings.HasPrefix(tail, "line ") || !strings.HasSuffix(tail, "line 1999\nthe end\n") || len(tail) > 8<<10 {
		t.Errorf("got %d bytes, %.20q … (%v)", len(tail), tail, err)
	}
	info, err := os.Stat(filepath.Join(dir, "log"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the log's mode is %v (%v), want 0600", info.Mode(), err)
	}
}
