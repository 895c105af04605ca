// Package runnertest holds what every runtime must do, as tests.
package runnertest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"switchd/runner"
)

// Conform tests a runtime with real instances, which are shell scripts.
// newRuntime is called several times: what one value has started, another one
// must know, as the agent does after its restart.
func Conform(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, func(*testing.T) runner.Runtime)
	}{
		{"GivesDirEnvironmentAndLog", givesDirEnvironmentAndLog},
		{"OutlivesTheContextOfItsStart", outlivesTheContextOfItsStart},
		{"StopsGracefully", stopsGracefully},
		{"SendsTheSignalThatIsAskedFor", sendsTheSignalThatIsAskedFor},
		{"KillsWhatIgnoresTheSignal", killsWhatIgnoresTheSignal},
		{"StopEndsGrandchildren", stopEndsGrandchildren},
		{"StopEndsWhatTheLeaderLeftBehind", stopEndsWhatTheLeaderLeftBehind},
		{"StopOfSomethingGoneIsNoError", stopOfSomethingGoneIsNoError},
		{"StopsInParallel", stopsInParallel},
		{"AnotherValueAdopts", anotherValueAdopts},
		{"FindsByID", findsByID},
		{"ExitAtOnceIsSeen", exitAtOnceIsSeen},
		{"WaitObeysItsContext", waitObeysItsContext},
		{"ErrorsNameVersionAndFile", errorsNameVersionAndFile},
		{"RefusesHandlesThatItNeverGave", refusesHandlesThatItNeverGave},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, newRuntime)
		})
	}
}

func givesDirEnvironmentAndLog(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	app := NewApp(t, "web-blue", `echo "$SWITCHD_INSTANCE $SWITCHD_VERSION $GREETING [$SECRET] $*"
pwd
echo oops >&2
read line || echo no input
`)
	t.Log("The environment of the agent must not leak.")
	app.Env["GREETING"] = "hello world"
	app.Command = append(app.Command, "one", "two words")
	rt := newRuntime(t)
	h := app.Start(t, rt)
	must(t, rt.Wait(Context(t), h))
	want := "web-blue 1.4.2 hello world [] one two words\n" + app.Dir + "\noops\nno input\n"
	if got := app.Log(t); got != want {
		t.Errorf("log is %q, want %q", got, want)
	}
	info, err := os.Stat(app.LogFile)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("log has mode %v, want 0600", info.Mode())
	}
}

func outlivesTheContextOfItsStart(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	app, rt := NewApp(t, "web-blue", Serve), newRuntime(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := app.startIn(ctx, t, rt)
	app.Report(t)
	cancel()
	wantRunning(t, rt, h, true)
	must(t, rt.Stop(Context(t), h, app.Instance))
}

func stopsGracefully(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	app, rt := NewApp(t, "web-blue", Serve), newRuntime(t)
	h := app.Start(t, rt)
	app.Report(t)
	wantRunning(t, rt, h, true)
	must(t, rt.Stop(Context(t), h, app.Instance))
	wantRunning(t, rt, h, false)
	if got := app.Log(t); !strings.HasSuffix(got, "bye\n") {
		t.Errorf("log ends with %q, want the script's farewell", got)
	}
	must(t, rt.Wait(Context(t), h))
}

func sendsTheSignalThatIsAskedFor(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	app, rt := NewApp(t, "web-blue", strings.ReplaceAll(Serve, "TERM", "USR1")), newRuntime(t)
	app.StopSignal = "SIGUSR1"
	h := app.Start(t, rt)
	app.Report(t)
	must(t, rt.Stop(Context(t), h, app.Instance))
	if got := app.Log(t); !strings.HasSuffix(got, "bye\n") {
		t.Errorf("log ends with %q, want the script's farewell", got)
	}
	app.StopSignal = "SIGNAL"
	if err := rt.Stop(Context(t), h, app.Instance); err == nil || !strings.Contains(err.Error(), `"SIGNAL"`) {
		t.Errorf("stop by an unknown signal: %v, want an error that names it", err)
	}
}

func killsWhatIgnoresTheSignal(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	app := NewApp(t, "web-blue", `trap '' TERM
echo ready >"$REPORT"
while :; do sleep 600; done
`)
	app.StopGrace = 200 * time.Millisecond
	rt := newRuntime(t)
	h := app.Start(t, rt)
	app.Report(t)
	begin := time.Now()
	must(t, rt.Stop(Context(t), h, app.Instance))
	if took := time.Since(begin); took < app.StopGrace {
		t.Errorf("stopped after %v, before the grace of %v was over", took, app.StopGrace)
	}
	wantRunning(t, rt, h, false)
}

// A FIFO tells of processes that can't be asked: its reader sees the end when
// the last one that holds it open for writing is gone.

func stopEndsGrandchildren(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	app := NewApp(t, "web-blue", `exec 9>"$HELD"
(trap '' TERM; (trap '' TERM; echo ready >"$REPORT"; while :; do sleep 600; done) & wait; sleep 600) &
wait
`)
	held := holdFIFO(t, app)
	app.StopGrace = 200 * time.Millisecond
	rt := newRuntime(t)
	h := app.Start(t, rt)
	app.Report(t)
	must(t, rt.Stop(Context(t), h, app.Instance))
	wantClosed(t, held)
}

func stopEndsWhatTheLeaderLeftBehind(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	app := NewApp(t, "web-blue", `exec 9>"$HELD"
(trap '' TERM; echo ready >"$REPORT"; while :; do sleep 600; done) &
`)
	held := holdFIFO(t, app)
	app.StopGrace = 200 * time.Millisecond
	rt := newRuntime(t)
	h := app.Start(t, rt)
	app.Report(t)
	must(t, rt.Wait(Context(t), h))
	must(t, rt.Stop(Context(t), h, app.Instance))
	wantClosed(t, held)
}

func stopOfSomethingGoneIsNoError(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	app, rt := NewApp(t, "web-blue", "exit 3\n"), newRuntime(t)
	h := app.Start(t, rt)
	must(t, rt.Wait(Context(t), h))
	for range 2 {
		must(t, rt.Stop(Context(t), h, app.Instance))
	}
}

func stopsInParallel(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	app, rt := NewApp(t, "web-blue", Serve), newRuntime(t)
	h := app.Start(t, rt)
	app.Report(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := rt.Stop(Context(t), h, app.Instance); err != nil {
				t.Error(err)
			}
			wantRunning(t, rt, h, false)
		})
	}
	group.Wait()
}

func anotherValueAdopts(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	app := NewApp(t, "web-blue", Serve)
	h := app.Start(t, newRuntime(t))
	app.Report(t)
	other := newRuntime(t)
	wantRunning(t, other, h, true)
	must(t, other.Stop(Context(t), h, app.Instance))
	must(t, other.Wait(Context(t), h))
}

func findsByID(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	id := "web-" + filepath.Base(t.TempDir()) + "-" + time.Now().Format("150405.000000000")
	app, other := NewApp(t, id, Serve), NewApp(t, id+"-other", Serve)
	rt := newRuntime(t)
	h := app.Start(t, rt)
	other.Start(t, rt)
	app.Report(t)
	found, err := newRuntime(t).Find(Context(t), id)
	must(t, err)
	if len(found) != 1 || found[0] != h {
		t.Errorf("found %q, want only %q", found, h)
	}
	must(t, rt.Stop(Context(t), h, app.Instance))
	if found, err = rt.Find(Context(t), id); err != nil || len(found) != 0 {
		t.Errorf("after the stop found %q, %v, want nothing", found, err)
	}
}

func exitAtOnceIsSeen(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	rt := newRuntime(t)
	for range 20 {
		h := NewApp(t, "web-blue", "exit 1\n").Start(t, rt)
		must(t, rt.Wait(Context(t), h))
		wantRunning(t, rt, h, false)
	}
}

func waitObeysItsContext(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	app, rt := NewApp(t, "web-blue", Serve), newRuntime(t)
	h := app.Start(t, rt)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := rt.Wait(ctx, h); err != context.DeadlineExceeded { //nolint:errorlint // The contract says ctx's error.
		t.Errorf("wait: %v, want %v", err, context.DeadlineExceeded)
	}
	wantRunning(t, rt, h, true)
}

func errorsNameVersionAndFile(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	rt := newRuntime(t)
	app := NewApp(t, "web-blue", Serve)
	must(t, os.WriteFile(filepath.Join(app.Dir, "plain"), []byte("text"), 0o600))
	must(t, os.WriteFile(filepath.Join(app.Dir, "broken"), []byte{0x7f, 0, 1}, 0o700))                 // It is to be run.
	must(t, os.WriteFile(filepath.Join(app.Dir, "orphan"), []byte("#!/no/such/interpreter\n"), 0o700)) // It is to be run.
	must(t, os.Symlink("/bin/sh", filepath.Join(app.Dir, "outside")))
	for command, want := range map[string]string{
		"./missing":       "no such file",
		"./plain":         "not executable",
		"./broken":        "no program for this machine",
		"./orphan":        "interpreter",
		"./outside":       "outside",
		"./../app":        "leads out of the release",
		"/no/such/file":   "no such file",
		"no-such-program": "no such program in PATH",
		"./":              "no file that can be run",
		"":                "no command",
	} {
		app.Command = []string{command}
		_, err := rt.Start(Context(t), app.Instance)
		if err == nil {
			t.Errorf("start of %q: no error", command)
			continue
		}
		for _, part := range []string{"web-blue", "1.4.2", want, strings.TrimPrefix(command, "./")} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("start of %q: error %q does not say %q", command, err, part)
			}
		}
	}
}

func refusesHandlesThatItNeverGave(t *testing.T, newRuntime func(*testing.T) runner.Runtime) {
	rt := newRuntime(t)
	for _, h := range []runner.Handle{"", "pid", "pid:0:0:x", "pid:-1:0:x", "pid:1:1:x", "pid:2:x:x", "unit:web:1:2"} {
		if _, err := rt.Running(Context(t), h); err == nil {
			t.Errorf("Running(%q): no error", h)
		}
		if err := rt.Stop(Context(t), h, runner.Instance{ID: "web-blue"}); err == nil {
			t.Errorf("Stop(%q): no error", h)
		}
		if err := rt.Wait(Context(t), h); err == nil {
			t.Errorf("Wait(%q): no error", h)
		}
	}
}
