package systemd_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"switchd/runner"
	"switchd/runner/runnertest"
	"switchd/runner/systemd"
)

func TestRuntime_Conforms(t *testing.T) {
	t.Setenv("SECRET", "of the agent")
	m := newMachine(t)
	runnertest.Conform(t, runnertest.Options{
		New: func(t *testing.T) runner.Runtime { return m.runtime(t, m.bus()) },
		// systemd enters the directory as the user.
		Prepare: func(t *testing.T, app *runnertest.App) { open(t, app.Dir) },
	})
}

func (m *machine) runtime(t *testing.T, bus string) *systemd.Runtime {
	t.Helper()
	return systemd.New(systemd.Config{Bus: bus, UnitDir: m.run("systemd", "system"), StateDir: m.state()}, slog.New(slog.NewTextHandler(t.Output(), nil)))
}

// state is no part of /run, since it has another name in there.
func (m *machine) state() string { return m.dir + "/state" }

// open lets any user through to a release, past the directories of the test.
func open(t *testing.T, dir string) {
	t.Helper()
	for dir = filepath.Dir(dir); dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
