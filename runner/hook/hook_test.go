package hook_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/runner"
	"switchd/runner/hook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell is a hook that runs a shell script.
func shell(t *testing.T, script string) hook.Hook {
	t.Helper()
	return hook.Hook{
		Name: "reload", Command: []string{"sh", "-c", script}, Dir: t.TempDir(),
		Env: hook.Environment(runner.Instance{}, nil), Timeout: 10 * time.Second,
	}
}

func TestRun_KeepsTheLastLines(t *testing.T) {
	t.Parallel()
	for script, want := range map[string][2]string{
		`true`:                                  {"", ""},
		`echo one; echo two; echo; echo ' '`:    {"two", "two"},
		`printf 'no end'`:                       {"no end", "no end"},
		`echo out; echo err >&2`:                {"out", "err"},
		`printf 'a\000b\033[31mc\377\n'`:        {"ab[31mc", "ab[31mc"},
		`printf '%3000s' x; echo; printf short`: {"short", "short"},
		`yes 123456789 | head -c 3000000`:       {"123456789", "123456789"},
	} {
		h := shell(t, script)
		h.Asked = true
		result, err := h.Run(t.Context())
		if err != nil || result.Answer != want[0] || result.Said != want[1] || result.Err() != nil {
			t.Errorf("%s: %+v, %v, want %q", script, result, err, want)
		}
		h.Asked = false
		result, err = h.Run(t.Context())
		if err != nil || result.Answer != "" || result.Said != want[1] {
			t.Errorf("%s, when it is not asked: %+v, %v, want %q", script, result, err, want[1])
		}
	}
	result, err := shell(t, "yes '' | tr '\\n' 1 | head -c 3000000").Run(t.Context())
	if want := strings.Repeat("1", hook.MaxLine); err != nil || result.Said != want {
		t.Errorf("a line of 3 MB is kept as %d bytes, %v, want %d", len(result.Said), err, len(want))
	}
}

func TestRun_KeepsAnAnswerOutOfTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := shell(t, "echo to people >&2; echo to switchd")
	h.Log, h.Asked = &log, true
	result, err := h.Run(t.Context())
	if err != nil || result.Answer != "to switchd" || result.Said != "to people" || log.String() != "to people\n" {
		t.Errorf("%+v, %v, log %q", result, err, log.String())
	}
}

func TestRun_LogsBothOutputsWithinBounds(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := shell(t, "echo first >&2; yes out | head -c 2000000; yes err | head -c 2000000 >&2; echo last")
	h.Log = &log
	result, err := h.Run(t.Context())
	if err != nil || result.Said != "last" {
		t.Errorf("%+v, %v", result, err)
	}
	if got := log.String(); !strings.HasPrefix(got, "first\nout\n") || !strings.HasSuffix(got, "cut here, after 256 KiB]\n") || len(got) > 257<<10 {
		t.Errorf("the log has %d bytes and ends with %q", len(got), got[len(got)-80:])
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestRun_IsNotDisturbedByAFullDisk(t *testing.T) {
	t.Parallel()
	h := shell(t, "yes | head -c 1000000; echo done")
	h.Log = fullDisk{}
	if result, err := h.Run(t.Context()); err != nil || result.Status != 0 || result.Said != "done" {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestRun_TellsHowItFailed(t *testing.T) {
	t.Parallel()
	result, err := shell(t, "echo trying; echo 'no such unit' >&2; exit 5").Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := result.Err().Error(), `hook "reload" failed with exit status 5; it said last: "no such unit"`; got != want {
		t.Errorf("error is %s, want %s", got, want)
	}
	_, err = shell(t, "kill -KILL $$").Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ended by something else: signal: killed") {
		t.Errorf("error is %v, want one that tells the signal", err)
	}
}

func TestRun_KillsTheWholeGroupAtItsTimeout(t *testing.T) {
	t.Parallel()
	h := shell(t, "trap '' TERM; (trap '' TERM; sleep 600 & wait) & echo waiting; wait")
	h.Timeout = 200 * time.Millisecond
	// Whoever holds the FIFO open for writing still runs.
	fifo := openFIFO(t)
	h.Command[2] = "exec 9>" + fifo.Name() + "; " + h.Command[2]
	begin := time.Now()
	_, err := h.Run(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "timeout of 200ms") || !strings.Contains(err.Error(), `"waiting"`) {
		t.Errorf("error is %v, want one that tells the timeout and what was said last", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	wantClosed(t, fifo)
}

func TestRun_EndsWithItsCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := shell(t, "sleep 600").Run(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "its caller gave up") {
		t.Errorf("error is %v", err)
	}
}

func TestRun_DoesNotWaitForWhatWasLeftBehind(t *testing.T) {
	t.Parallel()
	fifo := openFIFO(t)
	h := shell(t, "sleep 600 9>"+fifo.Name()+" & echo $!")
	begin := time.Now()
	result, err := h.Run(t.Context())
	if err != nil || result.Status != 0 || !result.Held {
		t.Errorf("%+v, %v, want a success that tells of the process", result, err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	kill(t, result.Said)
	wantClosed(t, fifo)

	h = shell(t, "sleep 600 >/dev/null 2>&1 & echo $!")
	result, err = h.Run(t.Context())
	if err != nil || result.Held {
		t.Errorf("%+v, %v, want one that does not tell of a process with other outputs", result, err)
	}
	kill(t, result.Said)
}

func TestCheck_NamesTheHookAndWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fine"), []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := hook.Hook{Name: "reload", Command: []string{"./fine"}, Dir: dir, Env: hook.Environment(runner.Instance{}, nil)}
	if err := h.Check(); err == nil || !strings.Contains(err.Error(), `hook "reload": `+dir+"/fine: is not executable") {
		t.Errorf("check of a file that is no program: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, "fine"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := h.Check(); err != nil {
		t.Errorf("check of a program of the release: %v", err)
	}
	h.Command = []string{"fine"}
	if err := h.Check(); err == nil || !strings.Contains(err.Error(), "no such program in PATH") {
		t.Errorf("check of a program outside of PATH: %v", err)
	}
	h.Env = append(h.Env[:0:0], "PATH=/nowhere:"+dir)
	if err := h.Check(); err != nil {
		t.Errorf("check of a program in the hook's own PATH: %v", err)
	}
}

func TestEnvironment_CanNotBeReplacedWhereSwitchdTells(t *testing.T) {
	t.Parallel()
	env := hook.Environment(runner.Instance{
		ID: "web-blue", Version: "1.4.2", Env: map[string]string{"SWITCHD_VERSION": "9", "PATH": "/opt/bin", "A": "b"},
	}, map[string]string{"SWITCHD_HANDLE": "7"})
	want := "A=b LANG=C.UTF-8 PATH=/opt/bin SWITCHD_DIR= SWITCHD_HANDLE=7 SWITCHD_INSTANCE=web-blue SWITCHD_LOG= SWITCHD_VERSION=1.4.2"
	if got := strings.Join(env, " "); got != want {
		t.Errorf("environment is %s, want %s", got, want)
	}
}
