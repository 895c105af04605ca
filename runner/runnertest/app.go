package runnertest

import (
	"context"
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchd/runner"
)

// patience is how long anything may take before a test fails.
const patience = 10 * time.Second

// App is an instance whose script reports over a FIFO.
type App struct {
	runner.Instance

	// Pipes is the directory of the FIFOs. Whatever runs the script must let it
	// open them under the same names.
	Pipes string

	reports, held *os.File
}

// NewApp makes the release of an instance that runs a shell script, the file
// "app" in it. $REPORT is a FIFO for Report, and $HELD one for WantReleased.
// Any user may run and open all of it.
func NewApp(t *testing.T, id, script string) *App {
	t.Helper()
	dir := t.TempDir()
	release, pipes := filepath.Join(dir, "release"), filepath.Join(dir, "pipes")
	for _, made := range []string{release, pipes} {
		must(t, os.Mkdir(made, 0o755))
	}
	for _, above := range []string{filepath.Dir(dir), dir} {
		must(t, os.Chmod(above, 0o755))
	}
	write(t, filepath.Join(release, "app"), "#!/bin/sh\n"+script, 0o755)
	return &App{
		Pipes:   pipes,
		reports: fifo(t, filepath.Join(pipes, "report"), os.O_RDWR), // Open for writing too, it has no end and its reads wait.
		held:    fifo(t, filepath.Join(pipes, "held"), os.O_RDONLY),
		Instance: runner.Instance{
			ID:      id,
			Version: "1.4.2",
			Dir:     release,
			LogFile: filepath.Join(dir, "logs", "app.log"),
			Command: []string{"./app"},
			Env: map[string]string{
				"REPORT": filepath.Join(pipes, "report"),
				"HELD":   filepath.Join(pipes, "held"),
			},
			StopSignal: "SIGTERM",
			StopGrace:  patience,
		},
	}
}

// Report returns the next line that the script wrote to $REPORT.
func (a *App) Report(t *testing.T) string {
	t.Helper()
	must(t, a.reports.SetReadDeadline(time.Now().Add(patience)))
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := a.reports.Read(b)
		if err != nil {
			log, _ := os.ReadFile(a.LogFile) // It may have none.
			t.Fatalf("wait for a report of %s: %v; its log: %s", a.ID, err, log)
		}
		if n == 1 && b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[:n]...)
	}
}

// Log returns what the instance has written so far.
func (a *App) Log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(a.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// WantReleased fails unless no process has $HELD open for writing any more:
// this tells of processes that can't be asked.
func (a *App) WantReleased(t *testing.T) {
	t.Helper()
	wantClosed(t, a.held)
}

// Start stages and starts the instance and has it stopped and cleaned up when
// the test ends.
func (a *App) Start(t *testing.T, rt runner.Runtime) runner.Handle {
	t.Helper()
	return a.startIn(Context(t), t, rt)
}

func (a *App) startIn(ctx context.Context, t *testing.T, rt runner.Runtime) runner.Handle {
	t.Helper()
	must(t, rt.Stage(ctx, a.Instance))
	h, err := rt.Start(ctx, a.Instance)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		now := a.Instance
		now.StopSignal, now.StopGrace = "SIGKILL", patience
		if err := rt.Stop(ctx, h, now); err != nil {
			t.Error(err)
		}
		if err := rt.Wait(ctx, h); err != nil {
			t.Error(err)
		}
		if err := rt.Cleanup(ctx, a.Instance); err != nil {
			t.Error(err)
		}
	})
	return h
}

// Context returns a context that ends before the test's patience does.
func Context(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	return ctx
}

// Serve is a script that reports when it is ready, runs until SIGTERM and
// then logs its farewell. It kills its child for sure: a SIGTERM between the
// child's fork and exec is lost, since the shell's trap catches it.
const Serve = `trap 'kill -9 $! 2>/dev/null; echo bye; exit 0' TERM
sleep 600 &
echo ready >"$REPORT"
wait
`

// Stubborn is a script that reports when it is ready and ignores SIGTERM.
const Stubborn = `exec 9>"$HELD"
trap '' TERM
echo ready >"$REPORT"
while :; do sleep 600; done
`

// uniqueID names an instance that no other test has: some kinds of runtimes
// share the machine by these names. It looks like those that agents give.
func uniqueID() string {
	return "/var/lib/switchd-" + strings.ToLower(rand.Text()[:12]) + ":web-blue"
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), mode))
	must(t, os.Chmod(path, mode)) // Whatever the umask.
}
