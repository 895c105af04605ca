package process_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"switchd/runner"
	"switchd/runner/runnertest"
)

// startPlain starts an instance as agents did before there were shims. It
// ends at SIGTERM, and is reaped only at the end of the test.
func startPlain(t *testing.T, id string) runner.Handle {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sleep", "600")
	cmd.Env = []string{"SWITCHD_INSTANCE=" + id, "SWITCHD_VERSION=1.4.2"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // It may have ended.
		_ = cmd.Wait()         // By a signal.
	})
	return runner.Handle(fmt.Sprintf("pid:%d:%s:%s", cmd.Process.Pid, startOf(t, cmd.Process.Pid), bootID(t)))
}

func startOf(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))[19]
}

func bootID(t *testing.T) string {
	t.Helper()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(boot))
}

// This also shows that a zombie of another parent counts as ended.
func TestRuntime_KnowsWhatAFormerAgentStarted(t *testing.T) {
	t.Parallel()
	ctx, rt := runnertest.Context(t), newRuntime(t)
	inst := newApp(t, "web-former", "").Instance
	h := startPlain(t, inst.ID)
	if status, err := rt.Status(ctx, h); err != nil || !status.Running {
		t.Fatalf("Status is %+v, %v", status, err)
	}
	if found, err := rt.Find(ctx, inst); err != nil || len(found) != 1 || found[0] != h {
		t.Errorf("found %q, %v, want %q", found, err, h)
	}
	ended := make(chan error, 1)
	go func() { ended <- rt.Wait(ctx, h) }()
	if err := rt.Stop(ctx, h, inst); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if status, err := rt.Status(ctx, h); err != nil || status.Running {
		t.Errorf("the zombie: Status is %+v, %v", status, err)
	}
	if found, err := rt.Find(ctx, inst); err != nil || len(found) != 0 {
		t.Errorf("after the stop found %q, %v", found, err)
	}
}
