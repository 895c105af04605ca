package runnertest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"switchd/runner"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantRunning(t *testing.T, rt runner.Runtime, h runner.Handle, want bool) {
	t.Helper()
	got, err := rt.Running(Context(t), h)
	if err != nil {
		t.Error(err)
	}
	if got != want {
		t.Errorf("Running is %v, want %v", got, want)
	}
}

// openFIFO makes a FIFO and opens it for reading. Open for writing too, it
// has no end and its reads wait.
func openFIFO(t *testing.T, path string) *os.File {
	t.Helper()
	return fifo(t, path, os.O_RDWR)
}

// holdFIFO gives the app a FIFO named by $HELD and returns its reading end.
func holdFIFO(t *testing.T, app *App) *os.File {
	t.Helper()
	path := filepath.Join(filepath.Dir(app.Dir), "held")
	app.Env["HELD"] = path
	return fifo(t, path, os.O_RDONLY)
}

func fifo(t *testing.T, path string, flag int) *os.File {
	t.Helper()
	must(t, syscall.Mkfifo(path, 0o600))
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, 0)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}

// wantClosed fails unless nobody has the FIFO open for writing any more.
func wantClosed(t *testing.T, f *os.File) {
	t.Helper()
	must(t, f.SetReadDeadline(time.Now().Add(time.Second)))
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a process still holds the FIFO: %v", err)
	}
}
