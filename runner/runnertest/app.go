package runnertest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"switchd/runner"
)

// patience is how long anything may take before a test fails.
const patience = 10 * time.Second

// App is an instance whose script reports over a FIFO.
type App struct {
	runner.Instance

	reports *os.File
}

// NewApp makes the release of an instance that runs a shell script, in which
// $REPORT is a FIFO for Report and Ended.
func NewApp(t *testing.T, id, script string) *App {
	t.Helper()
	dir := t.TempDir()
	release := filepath.Join(dir, "release")
	must(t, os.Mkdir(release, 0o700))
	must(t, os.WriteFile(filepath.Join(release, "app"), []byte("#!/bin/sh\n"+script), 0o700)) // It is to be run.
	return &App{
		reports: openFIFO(t, filepath.Join(dir, "report")),
		Instance: runner.Instance{
			ID:         id,
			Version:    "1.4.2",
			Dir:        release,
			LogFile:    filepath.Join(dir, "logs", "app.log"),
			Command:    []string{"./app"},
			Env:        map[string]string{"REPORT": filepath.Join(dir, "report")},
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
			t.Fatalf("wait for a report of %s: %v; its log: %s", a.ID, err, a.Log(t))
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

// Start starts the instance and has it stopped when the test ends.
func (a *App) Start(t *testing.T, rt runner.Runtime) runner.Handle {
	t.Helper()
	return a.startIn(Context(t), t, rt)
}

func (a *App) startIn(ctx context.Context, t *testing.T, rt runner.Runtime) runner.Handle {
	t.Helper()
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
// then logs its farewell.
const Serve = `trap 'echo bye; exit 0' TERM
sleep 600 &
echo ready >"$REPORT"
wait
`
