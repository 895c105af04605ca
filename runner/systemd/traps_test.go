package systemd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"switchd/runner"
	"switchd/runner/runnertest"
	"switchd/runner/systemd"
)

func (m *machine) app(t *testing.T, id, script string) *runnertest.App {
	t.Helper()
	app := runnertest.NewApp(t, id, script)
	open(t, app.Dir)
	return app
}

// install writes a template as an operator does.
func (m *machine) install(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(m.dir, "units", name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	})
}

func TestRuntime_RunsAnOperatorsTemplate(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	rt, ctx := m.runtime(t, m.bus()), runnertest.Context(t)
	app := m.app(t, "web-template", "")
	m.install(t, "web@.service", `[Service]
Environment=FROM=template SWITCHD_VERSION=none
ExecStart=/bin/sh -c 'echo "$$FROM %I $$SWITCHD_VERSION $$PWD" >"$$REPORT"; exec sleep 600'
`)
	app.Command = nil
	app.Settings = map[string]string{"unit": "web@.service"}
	h := app.Start(t, rt)
	if got, want := app.Report(t), "template web-template:1.4.2 1.4.2 "+app.Dir; got != want {
		t.Errorf("reported %q, want %q", got, want)
	}
	if err := rt.Stop(ctx, h, app.Instance); err != nil {
		t.Error(err)
	}

	app.Command = []string{"/bin/sh", "-c", `echo "$FROM release" >"$REPORT"`}
	app.Start(t, rt)
	if got, want := app.Report(t), "template release"; got != want {
		t.Errorf("with a command of its own it reported %q, want %q", got, want)
	}
}

func TestStage_RefusesTemplatesThatCannotBe(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.install(t, "broken@.service", "[Service]\nType=oneshot\nRestart=always\nExecStart=/bin/true\n")
	app := m.app(t, "web-refused", runnertest.Serve)
	for unit, want := range map[string]string{
		"gone@.service":   "not installed on this node",
		"broken@.service": "systemd can't load unit broken@web",
		"web.service":     "no template",
		"web@a.service":   "no template",
		"../web@.service": "no template",
	} {
		app.Settings = map[string]string{"unit": unit}
		err := m.runtime(t, m.bus()).Stage(runnertest.Context(t), app.Instance)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), unit[:3]) {
			t.Errorf("unit %q: %v, want an error that says %q", unit, err, want)
		}
	}
}

func TestStart_LeavesNothingOfWhatCannotBeExecuted(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	rt, ctx := m.runtime(t, m.bus()), runnertest.Context(t)
	app := m.app(t, "web-orphan", "")
	if err := os.WriteFile(filepath.Join(app.Dir, "app"), []byte("#!/no/such/interpreter\n"), 0o700); err != nil { //nolint:gosec // It is to be run.
		t.Fatal(err)
	}
	_, err := rt.Start(ctx, app.Instance)
	for _, want := range []string{"start web-orphan 1.4.2", "can't be executed", "journalctl"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start: %v, want an error that says %q", err, want)
		}
	}
	if found, err := rt.Find(ctx, app.Instance); err != nil || len(found) > 0 {
		t.Errorf("found %q, %v, want nothing", found, err)
	}
	if err := rt.Cleanup(ctx, app.Instance); err != nil {
		t.Error(err)
	}
}

func TestRuntime_TakesOddCharacters(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	rt := m.runtime(t, m.bus())
	app := m.app(t, `.wéb/"blue"$ %n\x2d[*]?:@`, `printf '%s|' "$@" "$ODD" "$SWITCHD_INSTANCE" >"$REPORT"; echo >"$REPORT"; exit 0`)
	app.Version = "1.4.2+build:7 ü"
	odd := "a\"b'c\\d\\x41$HOME${HOME}`id`%h;#\t é"
	app.Command = []string{"./app", odd, "", ";", "-"}
	app.Env["ODD"] = odd
	h := app.Start(t, rt)
	if got, want := app.Report(t), strings.Join([]string{odd, "", ";", "-", odd, app.ID, ""}, "|"); got != want {
		t.Errorf("reported %q, want %q", got, want)
	}
	if err := rt.Wait(runnertest.Context(t), h); err != nil {
		t.Error(err)
	}
	if s, err := rt.Status(runnertest.Context(t), h); err != nil || s.Running || s.Why != "ended without a failure" {
		t.Errorf("status is %+v, %v, want a clean end", s, err)
	}
}

func TestRuntime_KeepsTheEnvironmentToItself(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	rt, ctx := m.runtime(t, m.bus()), runnertest.Context(t)
	app := m.app(t, "web-secret", runnertest.Serve)
	app.Env["PASSWORD"] = "xyzzy"
	app.Start(t, rt)
	app.Report(t)
	units, err := filepath.Glob(filepath.Join(m.state(), `switchd@web*secret*.env`))
	if err != nil || len(units) != 1 {
		t.Fatalf("environments: %q, %v", units, err)
	}
	if info, err := os.Stat(units[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("environment: %v, %v, want mode 0600", info, err)
	}
	unit := strings.TrimSuffix(filepath.Base(units[0]), ".env")
	shown, err := exec.CommandContext(ctx, "busctl", "--address="+m.bus(), "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "GetUnit", "s", unit).Output()
	if err != nil {
		t.Fatal(err)
	}
	path := strings.Trim(strings.TrimPrefix(strings.TrimSpace(string(shown)), "o "), `"`)
	shown, err = exec.CommandContext(ctx, "busctl", "--address="+m.bus(), "introspect", "--full", "org.freedesktop.systemd1", path).Output()
	if err != nil || !strings.Contains(string(shown), "web-secret") || strings.Contains(string(shown), "xyzzy") {
		t.Errorf("systemd shows everyone: %v: %s", err, shown)
	}
}

// agentVar makes the test binary an agent within the machine, where StateDir
// is what it holds: systemd's own socket refuses processes that it can't see.
const agentVar = "SYSTEMD_TEST_AGENT"

// actAsAgent starts and stops the instance on its stdin without a bus.
func actAsAgent() error {
	var inst runner.Instance
	if err := json.NewDecoder(os.Stdin).Decode(&inst); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rt := systemd.New(systemd.Config{Bus: "unix:path=/run/systemd/private", StateDir: os.Getenv(agentVar)}, slog.New(slog.DiscardHandler))
	h, err := rt.Start(ctx, inst)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- rt.Wait(ctx, h) }()
	return errors.Join(rt.Stop(ctx, h, inst), <-ended, rt.Cleanup(ctx, inst))
}

func TestRuntime_NeedsNoBus(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	app := m.app(t, "web-direct", runnertest.Serve)
	text, err := json.Marshal(app.Instance)
	if err != nil {
		t.Fatal(err)
	}
	agent := exec.CommandContext(runnertest.Context(t), "nsenter", "--target", strconv.Itoa(m.pid), "--mount", "--pid", os.Args[0])
	agent.Env = []string{agentVar + "=" + m.state()}
	agent.Stdin = bytes.NewReader(text)
	if out, err := agent.CombinedOutput(); err != nil {
		t.Errorf("agent: %v: %s", err, out)
	}
}

func TestRuntime_SaysHowToReachSystemd(t *testing.T) {
	t.Parallel()
	address := "unix:path=" + filepath.Join(t.TempDir(), "none")
	dir := t.TempDir()
	rt := systemd.New(systemd.Config{Bus: address, UnitDir: dir, StateDir: dir}, slog.New(slog.DiscardHandler))
	app := runnertest.NewApp(t, "web-away", runnertest.Serve)
	err := rt.Stage(runnertest.Context(t), app.Instance)
	for _, want := range []string{"stage web-away 1.4.2", address, "systemctl status"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("stage: %v, want an error that says %q", err, want)
		}
	}
}

func TestStart_RefusesAVersionThatRuns(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	rt, ctx := m.runtime(t, m.bus()), runnertest.Context(t)
	app := m.app(t, "web-twice", runnertest.Serve)
	h := app.Start(t, rt)
	app.Report(t)
	if _, err := rt.Start(ctx, app.Instance); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("second start: %v, want it refused", err)
	}
	if err := rt.Cleanup(ctx, app.Instance); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("cleanup: %v, want it refused", err)
	}
	if s, err := rt.Status(ctx, h); err != nil || !s.Running {
		t.Errorf("status is %+v, %v, want the first to run", s, err)
	}
}

func TestStart_UndoesWhatItsContextCutShort(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	rt := m.runtime(t, m.bus())
	// It never says that it is ready.
	m.install(t, "slow@.service", "[Service]\nType=notify\nTimeoutStartSec=infinity\n")
	app := m.app(t, "web-slow", "echo ready >\"$REPORT\"\nexec sleep 600\n")
	app.Settings = map[string]string{"unit": "slow@.service"}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := rt.Start(ctx, app.Instance)
		failed <- err
	}()
	app.Report(t)
	found, err := rt.Find(runnertest.Context(t), app.Instance)
	if err != nil || len(found) != 1 {
		t.Fatalf("found %q, %v, want what is starting", found, err)
	}
	cancel()
	if err := <-failed; err == nil {
		t.Error("start: no error, want that of its context")
	}
	if err := rt.Wait(runnertest.Context(t), found[0]); err != nil {
		t.Errorf("wait for its end: %v", err)
	}
	if err := rt.Cleanup(runnertest.Context(t), app.Instance); err != nil {
		t.Error(err)
	}
}
