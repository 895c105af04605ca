package process_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"switchd/runner"
	"switchd/runner/process"
	"switchd/runner/runnertest"
)

// pidServe is a script that reports its pid and serves.
const pidServe = `exec 9>"$HELD"
echo $$ >"$REPORT"
exec sleep 600
`

func reportedPID(t *testing.T, app *runnertest.App) int {
	t.Helper()
	pid, err := strconv.Atoi(app.Report(t))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestShim_StartsAKilledServiceAgain(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-killed", pidServe)
	h := app.Start(t, rt)
	first := reportedPID(t, app)
	kill(t, first, syscall.SIGKILL)
	if second := reportedPID(t, app); second == first {
		t.Errorf("pid %d is the same as before", second)
	}
	status, err := rt.Status(ctx, h)
	if err != nil || !status.Running || status.Restarts != 1 || !strings.Contains(status.Why, "killed by SIGKILL") {
		t.Errorf("Status is %+v, %v, want one restart after a SIGKILL", status, err)
	}
	if found, err := rt.Find(ctx, app.Instance); err != nil || len(found) != 1 || found[0] != h {
		t.Errorf("found %q, %v, want the same handle", found, err)
	}
}

func TestShim_TakesItsServiceWithIt(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	for name, user := range map[string]string{"of the agent": "", "of another user": "nobody"} {
		app := newApp(t, "web-shim-"+strings.ReplaceAll(name, " ", "-"), pidServe)
		app.User = user
		h := app.Start(t, rt)
		app.Report(t)
		kill(t, pidOf(h), syscall.SIGKILL)
		if err := rt.Wait(ctx, h); err != nil {
			t.Fatal(err)
		}
		status, err := rt.Status(ctx, h)
		if err != nil || status.Running || !strings.Contains(status.Why, "gone") {
			t.Errorf("%s: Status is %+v, %v, want it gone", name, status, err)
		}
		app.WantReleased(t)
		if found, err := rt.Find(ctx, app.Instance); err != nil || len(found) != 0 {
			t.Errorf("%s: found %q, %v, want nothing", name, found, err)
		}
	}
}

// What a killed shim can't take with it must not run beside the next one.
func TestShim_NextOneEndsWhatAKilledOneLeft(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-left", `exec 9>"$HELD"
(setsid sh -c 'trap "" TERM; echo far >"$REPORT"; while :; do sleep 600; done' &)
read line <"$GO"
(trap "" TERM; echo near >"$REPORT"; while :; do sleep 600; done) &
exec sleep 600
`)
	gate := filepath.Join(app.Pipes, "go")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	app.Env["GO"] = gate
	h := app.Start(t, rt)
	app.Report(t)
	put(t, gate, "go\n", 0o600)
	app.Report(t)
	kill(t, pidOf(h), syscall.SIGKILL)
	if err := rt.Wait(ctx, h); err != nil {
		t.Fatal(err)
	}
	if found, err := rt.Find(ctx, app.Instance); err != nil || len(found) != 0 {
		t.Errorf("found %q, %v, want nothing to be adopted", found, err)
	}
	next := runnertest.NewApp(t, app.ID, runnertest.Serve)
	next.LogFile = app.LogFile
	next.Start(t, rt)
	next.Report(t)
	app.WantReleased(t)
}

func TestShim_StopEndsWhatAKilledOneLeft(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-stop-left", `exec 9>"$HELD"
(setsid sh -c 'trap "" TERM; echo far >"$REPORT"; while :; do sleep 600; done' &)
exec sleep 600
`)
	h := app.Start(t, rt)
	app.Report(t)
	kill(t, pidOf(h), syscall.SIGKILL)
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Fatal(err)
	}
	app.WantReleased(t)
}

func TestShim_AndServiceKilledAtOnce(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-both", pidServe)
	h := app.Start(t, rt)
	service := reportedPID(t, app)
	kill(t, pidOf(h), syscall.SIGSTOP) // So that it can't start another one.
	kill(t, service, syscall.SIGKILL)
	kill(t, pidOf(h), syscall.SIGKILL)
	if err := rt.Wait(ctx, h); err != nil {
		t.Fatal(err)
	}
	app.WantReleased(t)
	if status, err := rt.Status(ctx, h); err != nil || status.Running {
		t.Errorf("Status is %+v, %v, want it gone", status, err)
	}
	app.Start(t, rt)
	app.Report(t)
}

// A service whose first process ends while others go on is over; they must
// not run beside the next run.
func TestShim_EndsWhatTheServiceLeftBeforeItStartsItAgain(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-forks", `(setsid sh -c 'trap "" TERM; while :; do sleep 600; done' & echo $! >"$REPORT")
echo done >"$REPORT"
`)
	app.StopGrace = 100 * time.Millisecond
	h := app.Start(t, rt)
	left := reportedPID(t, app)
	app.Report(t)
	next := reportedPID(t, app)
	if err := syscall.Kill(left, 0); err == nil {
		t.Errorf("pid %d of the first run is there while pid %d of the second is", left, next)
	}
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(next, 0); err == nil {
		t.Errorf("pid %d is there after the stop", next)
	}
}

// Some programs log to /dev/stdout by its name.
func TestShim_AnotherUserCanOpenItsOutput(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-stdout", "echo named >/dev/stdout\n"+runnertest.Serve)
	app.User = "nobody"
	h := app.Start(t, rt)
	app.Report(t)
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Fatal(err)
	}
	if got := app.Log(t); got != "named\nbye\n" {
		t.Errorf("log is %q, want what was written to /dev/stdout too", got)
	}
}

func TestShim_AsksWhatTheServiceLeftBeforeItKills(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t)
	app := newApp(t, "web-asks", `leader=$$
(trap 'echo asked >"$REPORT"; exit 0' TERM; echo $leader >"$REPORT"; read line <"$GO") &
read line <"$GO"
`)
	gate := filepath.Join(app.Pipes, "go")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	app.Env["GO"] = gate
	app.Start(t, rt)
	kill(t, reportedPID(t, app), syscall.SIGKILL)
	if got := app.Report(t); got != "asked" {
		t.Errorf("reported %q, want what is left to get its stop signal", got)
	}
}

// Who is in a hurry may ask again.
func TestShim_ShorterGraceCounts(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	// The signal may come to a sleep that is only just being started and takes no
	// notice: the shell must not wait for its end before it says so.
	app := newApp(t, "web-hurry", `trap 'echo asked >"$REPORT"' TERM
echo ready >"$REPORT"
while :; do sleep 600 & wait $!; done
`)
	h := app.Start(t, rt)
	app.Report(t)
	patient := make(chan error, 1)
	go func() { patient <- rt.Stop(ctx, h, app.Instance) }()
	app.Report(t)
	hasty := app.Instance
	hasty.StopGrace = 50 * time.Millisecond
	begin := time.Now()
	if err := rt.Stop(ctx, h, hasty); err != nil {
		t.Error(err)
	}
	if err := <-patient; err != nil {
		t.Error(err)
	}
	// Later the agent would have killed the shim itself.
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

func TestShim_SetsHardLimitsToo(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-hard", "ulimit -Sn; ulimit -Hn; ulimit -Sl; ulimit -Hl\n"+runnertest.Serve)
	app.Limits = map[string]uint64{"nofile": 100, "memlock": 1 << 20}
	h := app.Start(t, rt)
	app.Report(t)
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Fatal(err)
	}
	if got, want := app.Log(t), "100\n100\n1024\n1024\nbye\n"; got != want {
		t.Errorf("limits are %q, want %q", got, want)
	}
}

func TestShim_TellsOfACrashLoop(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-loop", "echo run >\"$REPORT\"\nexit 3\n")
	h := app.Start(t, rt)
	for range 3 {
		app.Report(t)
	}
	var status runner.Status
	await(ctx, t, "crash loop", func() (ok bool) {
		var err error
		if status, err = rt.Status(ctx, h); err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(status.Why, "crash loop: ended 3 times in ")
	})
	if !status.Running || status.Restarts != 2 || !strings.HasSuffix(status.Why, "last: exit status 3") {
		t.Errorf("Status is %+v", status)
	}
	begin := time.Now()
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("between two runs, the stop took %v", took)
	}
}

func TestShim_SIGTERMStopsTheServiceItsOwnWay(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-term", strings.ReplaceAll(runnertest.Serve, "TERM", "USR1"))
	app.StopSignal = "SIGUSR1"
	h := app.Start(t, rt)
	app.Report(t)
	kill(t, pidOf(h), syscall.SIGTERM)
	if err := rt.Wait(ctx, h); err != nil {
		t.Fatal(err)
	}
	if got := app.Log(t); got != "bye\n" {
		t.Errorf("log is %q, want the farewell", got)
	}
}

// A shell can't trap what was ignored when it was started.
func TestShim_LeavesNoSignalIgnored(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	for _, name := range []string{"HUP", "PIPE", "INT"} {
		app := newApp(t, "web-sig"+name, strings.ReplaceAll(runnertest.Serve, "TERM", name))
		app.StopSignal = "SIG" + name
		h := app.Start(t, rt)
		app.Report(t)
		if err := rt.Stop(ctx, h, app.Instance); err != nil {
			t.Fatal(err)
		}
		if got := app.Log(t); got != "bye\n" {
			t.Errorf("SIG%s: log is %q, want the farewell", name, got)
		}
	}
}

func TestShim_WithoutItsSocketIsStoppedAllTheSame(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-socket", runnertest.Serve)
	h := app.Start(t, rt)
	app.Report(t)
	if err := os.RemoveAll(filepath.Join(filepath.Dir(app.LogFile), ".shims")); err != nil {
		t.Fatal(err)
	}
	if status, err := rt.Status(ctx, h); err != nil || !status.Running || !strings.Contains(status.Why, "ask its shim") {
		t.Errorf("Status is %+v, %v, want it running, and what is wrong", status, err)
	}
	if found, err := rt.Find(ctx, app.Instance); err != nil || len(found) != 1 || found[0] != h {
		t.Errorf("found %q, %v, want it all the same", found, err)
	}
	if _, err := rt.Start(ctx, app.Instance); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second start: %v, want a refusal", err)
	}
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Fatal(err)
	}
	if got := app.Log(t); got != "bye\n" {
		t.Errorf("log is %q, want the farewell", got)
	}
}

// Two starts at once: only one of them may win.
func TestShim_RunsAnInstanceOnce(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-once", runnertest.Serve)
	started := make(chan runner.Handle, 4)
	for range cap(started) {
		go func() {
			h, err := rt.Start(ctx, app.Instance)
			if err != nil && !strings.Contains(err.Error(), "runs already") {
				t.Error(err)
			}
			started <- h
		}()
	}
	var won []runner.Handle
	for range cap(started) {
		if h := <-started; h != "" {
			won = append(won, h)
		}
	}
	app.Report(t)
	if found, err := rt.Find(ctx, app.Instance); err != nil || len(won) != 1 || len(found) != 1 || found[0] != won[0] {
		t.Errorf("started %q, found %q, %v, want one", won, found, err)
	}
	for _, h := range won {
		if err := rt.Stop(ctx, h, app.Instance); err != nil {
			t.Error(err)
		}
	}
}

func TestShim_ThatHangsIsKilledWithItsService(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-hangs", pidServe)
	app.StopGrace = 100 * time.Millisecond
	h := app.Start(t, rt)
	app.Report(t)
	kill(t, pidOf(h), syscall.SIGSTOP)
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Fatal(err)
	}
	app.WantReleased(t)
}

func TestShim_RotatesTheLog(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-logs", `head -c 60000000 /dev/zero
echo done >"$REPORT"
exec sleep 600
`)
	h := app.Start(t, rt)
	app.Report(t)
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(app.LogFile), "*.log"))
	if err != nil || len(logs) < 2 || len(logs) > 5 { // The oldest may be about to be removed.
		t.Errorf("logs are %q, %v, want the log and three older ones", logs, err)
	}
	for _, name := range logs {
		if info, err := os.Stat(name); err != nil || info.Size() > 10<<20 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want at most 10 MiB and mode 0600", name, info, err)
		}
	}
}

func TestShim_FullDiskDoesNotStopTheService(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-full", `head -c 3000000 /dev/zero
echo done >"$REPORT"
exec sleep 600
`)
	disk := filepath.Dir(app.LogFile)
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Fatalf("mount a small disk (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	h := app.Start(t, rt)
	app.Report(t)
	await(ctx, t, "the loss is told", func() bool {
		status, err := rt.Status(ctx, h)
		if err != nil || !status.Running {
			t.Fatalf("Status is %+v, %v", status, err)
		}
		return strings.Contains(status.Why, "dropped") && strings.Contains(status.Why, "no space left on device")
	})
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Error(err)
	}
}

func TestShim_HidesItsEnvironmentAndIsSmall(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t)
	app := newApp(t, "web-small", runnertest.Serve)
	app.Env["PASSWORD"] = "open sesame"
	h := app.Start(t, rt)
	app.Report(t)
	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pidOf(h), file))
		if err != nil || bytes.Contains(text, []byte("sesame")) {
			t.Errorf("%s of the shim tells the secret: %q, %v", file, text, err)
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pidOf(h)))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "RssAnon") {
			t.Log(strings.TrimSpace(line))
		}
	}
	for _, path := range []string{filepath.Dir(app.LogFile), filepath.Join(filepath.Dir(app.LogFile), ".shims")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v, want mode 0700", path, info, err)
		}
	}
}

func TestNew_ShimThatIsNoneIsTold(t *testing.T) {
	t.Parallel()
	app := newApp(t, "web-none", runnertest.Serve)
	for command, want := range map[string]string{"/bin/true": "without a report", "/no/such/shim": "start its shim"} {
		_, err := process.New([]string{command}, nil).Start(runnertest.Context(t), app.Instance)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start by %s: %v, want an error that says %q", command, err, want)
		}
	}
}
