package runner_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/runner"
	"switchd/runner/runnertest"
)

// agentVar makes the test binary an agent that starts the instance on its
// stdin, prints its handle and then does nothing more.
const agentVar = "RUNNER_TEST_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(agentVar) != "" {
		actAsAgent()
		return
	}
	goleak.VerifyTestMain(m)
}

func actAsAgent() {
	var inst runner.Instance
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&inst); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h, err := runner.NewProcess(slog.New(slog.DiscardHandler)).Start(ctx, inst)
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(string(h) + "\n") //nolint:errcheck // The reader fails.
	io.Copy(io.Discard, os.Stdin)           //nolint:errcheck // Waits for the end of the test.
}

func newProcess(t *testing.T) runner.Runtime {
	t.Helper()
	return runner.NewProcess(slog.New(slog.NewTextHandler(t.Output(), nil)))
}

func TestProcess_Conforms(t *testing.T) {
	t.Setenv("SECRET", "of the agent")
	runnertest.Conform(t, func(*testing.T) runner.Runtime {
		return runner.NewProcess(slog.New(slog.DiscardHandler))
	})
}

func TestProcess_InstanceOutlivesItsAgent(t *testing.T) {
	t.Parallel()
	app := runnertest.NewApp(t, "web-outlives", runnertest.Serve)
	ctx := runnertest.Context(t)

	agent := exec.CommandContext(ctx, os.Args[0])
	agent.Env = append(os.Environ(), agentVar+"=1")
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

	rt := newProcess(t)
	if running, err := rt.Running(ctx, h); err != nil || !running {
		t.Fatalf("after the agent's death Running is %v, %v", running, err)
	}
	if found, err := rt.Find(ctx, app.ID); err != nil || len(found) != 1 || found[0] != h {
		t.Errorf("found %q, %v, want %q", found, err, h)
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

func TestProcess_NeverTouchesAReusedNumber(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newProcess(t)
	app := runnertest.NewApp(t, "web-reused", "echo ready >\"$REPORT\"\nexec sleep 600\n")
	h := app.Start(t, rt)
	app.Report(t)
	parts := strings.Split(string(h), ":")
	for name, forged := range map[string][]string{
		"another start": {parts[0], parts[1], parts[2] + "0", parts[3]},
		"another boot":  {parts[0], parts[1], parts[2], "11111111-2222-3333-4444-555555555555"},
	} {
		other := runner.Handle(strings.Join(forged, ":"))
		if running, err := rt.Running(ctx, other); err != nil || running {
			t.Errorf("%s: Running is %v, %v, want false", name, running, err)
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
	if running, err := rt.Running(ctx, h); err != nil || !running {
		t.Errorf("the real one: Running is %v, %v, want it untouched", running, err)
	}
}

func TestProcess_ReapsItsChildren(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newProcess(t)
	app := runnertest.NewApp(t, "web-reaped", "exit 0\n")
	h := app.Start(t, rt)
	if err := rt.Wait(ctx, h); err != nil {
		t.Fatal(err)
	}
	entry := "/proc/" + strings.Split(string(h), ":")[1]
	for {
		if _, err := os.Stat(entry); os.IsNotExist(err) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the child is still a zombie")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestProcess_AnswersForAZombieOfAnotherParent(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newProcess(t)
	// The script's child makes a session and ends; its parent never reaps it.
	app := runnertest.NewApp(t, "web-zombie", `setsid sh -c 'echo $$ >"$REPORT"; read line <"$GO"' &
exec sleep 600
`)
	gate := filepath.Join(t.TempDir(), "go")
	app.Env["GO"] = gate
	if out, err := exec.CommandContext(ctx, "mkfifo", gate).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v: %s", err, out)
	}
	app.Start(t, rt)
	pid := app.Report(t)
	var zombie runner.Handle
	found, err := rt.Find(ctx, app.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range found {
		if strings.HasPrefix(string(h), "pid:"+pid+":") {
			zombie = h
		}
	}
	t.Cleanup(func() {
		if err := rt.Stop(context.WithoutCancel(ctx), zombie, app.Instance); err != nil {
			t.Error(err)
		}
	})
	if running, err := rt.Running(ctx, zombie); err != nil || !running {
		t.Fatalf("before its end Running(%q) is %v, %v", zombie, running, err)
	}
	if err := os.WriteFile(gate, []byte("go\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rt.Wait(ctx, zombie); err != nil {
		t.Fatal(err)
	}
	if running, err := rt.Running(ctx, zombie); err != nil || running {
		t.Errorf("the zombie: Running is %v, %v, want false", running, err)
	}
	if err := rt.Stop(ctx, zombie, app.Instance); err != nil {
		t.Error(err)
	}
}

// Whoever has just unpacked a release may have forked with a file of it open.
func TestProcess_StartsWhatSomeoneStillWrites(t *testing.T) {
	t.Parallel()
	rt := newProcess(t)
	app := runnertest.NewApp(t, "web-busy", "exit 0\n")
	program := filepath.Join(app.Dir, "app")
	writer, err := os.OpenFile(program, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := rt.Start(ctx, app.Instance); !errors.Is(err, syscall.ETXTBSY) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is written: %v", err)
	}
	go writer.Close() //nolint:errcheck // Nothing was written.
	if err := rt.Wait(runnertest.Context(t), app.Start(t, rt)); err != nil {
		t.Error(err)
	}
}

func TestProcess_PutsALargeLogAside(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newProcess(t)
	app := runnertest.NewApp(t, "web-logs", "echo new\n")
	if err := os.Mkdir(filepath.Dir(app.LogFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(app.LogFile, make([]byte, 10<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := rt.Wait(ctx, app.Start(t, rt)); err != nil {
			t.Fatal(err)
		}
	}
	if got := app.Log(t); got != "new\nnew\n" {
		t.Errorf("log holds %d bytes, want what was written after the rotation", len(got))
	}
	if info, err := os.Stat(app.LogFile + ".1"); err != nil || info.Size() != 10<<20+1 {
		t.Errorf("the old log: %v, %v", info, err)
	}
}

func TestProcess_StopReportsWhatItCouldNotEnd(t *testing.T) {
	t.Parallel()
	rt := newProcess(t)
	app := runnertest.NewApp(t, "web-stuck", "trap '' TERM\necho ready >\"$REPORT\"\nwhile :; do sleep 600; done\n")
	h := app.Start(t, rt)
	app.Report(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := rt.Stop(ctx, h, app.Instance)
	pid := strings.Split(string(h), ":")[1]
	if err == nil || !strings.Contains(err.Error(), "web-stuck 1.4.2") || !strings.Contains(err.Error(), pid) {
		t.Errorf("Stop: %v, want an error with instance, version and pid %s", err, pid)
	}
}
