package runnertest

import (
	"errors"
	"io"
	"os"
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
	got, err := rt.Status(Context(t), h)
	if err != nil {
		t.Error(err)
	}
	if got.Running != want {
		t.Errorf("Running is %v, want %v; why: %s", got.Running, want, got.Why)
	}
}

// wantFound fails unless exactly these handles are found for an app.
func wantFound(t *testing.T, rt runner.Runtime, app *App, want ...runner.Handle) {
	t.Helper()
	got, err := rt.Find(Context(t), app.Instance)
	must(t, err)
	if len(got) != len(want) || len(want) == 1 && got[0] != want[0] {
		t.Errorf("found %q, want %q", got, want)
	}
}

// fifo makes a FIFO for everybody and opens it.
func fifo(t *testing.T, path string, flag int) *os.File {
	t.Helper()
	must(t, syscall.Mkfifo(path, 0o666))
	must(t, os.Chmod(path, 0o666))
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
