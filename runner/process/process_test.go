package process_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
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

	"switchd/runner"
	"switchd/runner/process"
	"switchd/runner/runnertest"
)

// TestMain makes the test binary a shim too, and an agent that starts the
// instance on its stdin, prints its handle and then does nothing more.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "shim":
			os.Exit(process.Shim(context.Background()))
		case "agent":
			actAsAgent()
			return
		}
	}
	flag.Parse()
	// These tests wait more than they compute. Fuzzing would get as many workers.
	if flag.Lookup("test.fuzz").Value.String() == "" {
		if err := flag.Set("test.parallel", "12"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

func actAsAgent() {
	var inst runner.Instance
	if err := json.NewDecoder(os.Stdin).Decode(&inst); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h, err := newProcess(slog.DiscardHandler).Start(ctx, inst)
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(string(h) + "\n") //nolint:errcheck // The reader fails.
	io.Copy(io.Discard, os.Stdin)           //nolint:errcheck // Waits for the end of the test.
}

func newProcess(to slog.Handler) *process.Runtime {
	return process.New([]string{"/proc/self/exe", "shim"}, slog.New(to))
}

func newRuntime(t *testing.T) runner.Runtime {
	t.Helper()
	to := &untilEnd{to: t.Output()}
	t.Cleanup(to.end)
	return newProcess(slog.NewTextHandler(to, nil))
}

// untilEnd is the output of a test until that ends. Shims are reaped, which is
// logged, at any time, also while another test runs: the testing package
// panics at such a line, in that other test.
type untilEnd struct {
	mu sync.Mutex
	to io.Writer
}

func (u *untilEnd) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.to.Write(p)
}

func (u *untilEnd) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.to = io.Discard
}

// newApp makes an app under an ID of its own: whoever else tests this on the
// machine must not be found.
func newApp(t *testing.T, name, script string) *runnertest.App {
	t.Helper()
	return runnertest.NewApp(t, t.TempDir()+":"+name, script)
}

func TestRuntime_Conforms(t *testing.T) {
	t.Setenv("SECRET", "of the agent")
	runnertest.Conform(t, runnertest.Options{
		New: func(*testing.T) runner.Runtime { return newProcess(slog.DiscardHandler) },
	})
}

func TestRuntime_RefusesWhatCannotRunAndSaysWhy(t *testing.T) {
	t.Parallel()
	rt, ctx := newRuntime(t), runnertest.Context(t)
	app := newApp(t, "web-refused", runnertest.Serve)
	put(t, filepath.Join(app.Dir, "plain"), "text", 0o600)
	put(t, filepath.Join(app.Dir, "broken"), "\x7f\x00\x01", 0o700)
	put(t, filepath.Join(app.Dir, "orphan"), "#!/no/such/interpreter\n", 0o700)
	if err := os.Symlink("/bin/sh", filepath.Join(app.Dir, "outside")); err != nil {
		t.Fatal(err)
	}
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
		_, startErr := rt.Start(ctx, app.Instance)
		for call, err := range map[string]error{"start": startErr, "stage": rt.Stage(ctx, app.Instance)} {
			if err == nil {
				t.Errorf("%s of %q: no error", call, command)
				continue
			}
			for _, part := range []string{call, "web-refused", "1.4.2", want, strings.TrimPrefix(command, "./")} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s of %q: error %q does not say %q", call, command, err, part)
				}
			}
		}
	}
}

func TestRuntime_StageRefusesLimitsAndUsersThatCannotBe(t *testing.T) {
	t.Parallel()
	rt, ctx := newRuntime(t), runnertest.Context(t)
	for want, change := range map[string]func(*runner.Instance){
		`limit "files" is unknown`: func(i *runner.Instance) { i.Limits = map[string]uint64{"files": 1} },
		"LimitNOFILE=":             func(i *runner.Instance) { i.Limits = map[string]uint64{"nofile": 1 << 62} },
		`user "nobody:no-group"`:   func(i *runner.Instance) { i.User = "nobody:no-group" },
		`signal "SIGNAL"`:          func(i *runner.Instance) { i.StopSignal = "SIGNAL" },
	} {
		app := newApp(t, "web-limits", runnertest.Serve)
		change(&app.Instance)
		if err := rt.Stage(ctx, app.Instance); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("stage: %v, want an error that says %s", err, want)
		}
	}
}

func TestRuntime_StageSeesWhatItsUserMayNot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("needs root, to be another user")
	}
	rt, ctx := newRuntime(t), runnertest.Context(t)
	app := newApp(t, "web-denied", runnertest.Serve)
	app.User = "65534:65534"
	if err := rt.Stage(ctx, app.Instance); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(app.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := rt.Stage(ctx, app.Instance); err == nil || !strings.Contains(err.Error(), "user 65534 must be able to") {
		t.Errorf("stage of a closed directory: %v, want an error that names the user", err)
	}
}

func TestRuntime_InstanceOutlivesItsAgent(t *testing.T) {
	t.Parallel()
	app := newApp(t, "web-outlives", runnertest.Serve)
	ctx := runnertest.Context(t)

	// An agent whose program is replaced, and then removed, while it runs.
	program := filepath.Join(t.TempDir(), "agent")
	// Not by this process: while it writes, a fork elsewhere in it would keep
	// the program from being executed.
	if out, err := exec.CommandContext(ctx, "cp", os.Args[0], program).CombinedOutput(); err != nil {
		t.Fatalf("copy the agent: %v: %s", err, out)
	}
	agent := exec.CommandContext(ctx, program, "agent")
	agent.Stderr = os.Stderr
	stdin, err := agent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(stdin).Encode(app.Instance); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	h := runner.Handle(strings.TrimSpace(line))
	app.Report(t)
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err == nil {
		t.Fatal("the agent ended well, want it killed")
	}

	rt := newRuntime(t)
	if status, err := rt.Status(ctx, h); err != nil || !status.Running {
		t.Fatalf("after the agent's death Status is %+v, %v", status, err)
	}
	if found, err := rt.Find(ctx, app.Instance); err != nil || len(found) != 1 || found[0] != h {
		t.Errorf("found %q, %v, want %q", found, err, h)
	}
	if _, err := rt.Start(ctx, app.Instance); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second start: %v, want a refusal", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- rt.Wait(ctx, h) }()
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if log := app.Log(t); !strings.HasSuffix(log, "bye\n") {
		t.Errorf("log ends with %q, want the farewell", log)
	}
}

func TestRuntime_NeverTouchesAReusedNumber(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-reused", "echo ready >\"$REPORT\"\nexec sleep 600\n")
	h := app.Start(t, rt)
	app.Report(t)
	plain := startPlain(t, app.ID)
	for _, whole := range []runner.Handle{h, plain} {
		for name, change := range map[string]func(parts []string){
			"another start": func(parts []string) { parts[2] += "0" },
			"another boot":  func(parts []string) { parts[3] = "11111111-2222-3333-4444-555555555555" },
		} {
			parts := strings.SplitN(string(whole), ":", 5)
			change(parts)
			other := runner.Handle(strings.Join(parts, ":"))
			if status, err := rt.Status(ctx, other); err != nil || status.Running {
				t.Errorf("%s: Status is %+v, %v, want it not to be running", name, status, err)
			}
			if err := rt.Wait(ctx, other); err != nil {
				t.Errorf("%s: Wait: %v", name, err)
			}
			now := app.Instance
			now.StopSignal = "SIGKILL"
			if err := rt.Stop(ctx, other, now); err != nil {
				t.Errorf("%s: Stop: %v", name, err)
			}
		}
		if status, err := rt.Status(ctx, whole); err != nil || !status.Running {
			t.Errorf("the real one: Status is %+v, %v, want it untouched", status, err)
		}
	}
}

func TestRuntime_ReapsItsShims(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	app := newApp(t, "web-reaped", runnertest.Serve)
	h := app.Start(t, rt)
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Fatal(err)
	}
	await(ctx, t, "the shim is reaped", func() bool {
		_, err := os.Stat("/proc/" + strconv.Itoa(pidOf(h)))
		return os.IsNotExist(err)
	})
}

// Whoever has just unpacked a release may have forked with a file of it open.
func TestRuntime_StartsWhatSomeoneStillWrites(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t)
	app := newApp(t, "web-busy", runnertest.Serve)
	writer, err := os.OpenFile(filepath.Join(app.Dir, "app"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Start(runnertest.Context(t), app.Instance); err == nil || !strings.Contains(err.Error(), "text file busy") {
		t.Errorf("while it is written: %v", err)
	}
	closed := time.AfterFunc(100*time.Millisecond, func() { writer.Close() }) //nolint:errcheck // Nothing was written.
	defer closed.Stop()
	app.Start(t, rt)
	app.Report(t)
}

func TestRuntime_StopReportsWhatItCouldNotEnd(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t)
	app := newApp(t, "web-stuck", runnertest.Stubborn)
	h := app.Start(t, rt)
	app.Report(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := rt.Stop(ctx, h, app.Instance)
	pid := strconv.Itoa(pidOf(h))
	if err == nil || !strings.Contains(err.Error(), "web-stuck 1.4.2") || !strings.Contains(err.Error(), pid) {
		t.Errorf("Stop: %v, want an error with instance, version and pid %s", err, pid)
	}
}

func pidOf(h runner.Handle) int {
	pid, _ := strconv.Atoi(strings.Split(string(h), ":")[1]) // 0 fails where it is used.
	return pid
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// await polls what no event tells of.
func await(ctx context.Context, t *testing.T, what string, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("in vain: " + what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("pid %d is not one of an instance", pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}
