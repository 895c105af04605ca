package runner_test

import (
	"strings"
	"syscall"
	"testing"

	"switchd/runner"
)

func TestSignal_IsTheOneThatIsNamed(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]syscall.Signal{"": syscall.SIGTERM, "SIGTERM": syscall.SIGTERM, "SIGUSR1": syscall.SIGUSR1, "SIGKILL": syscall.SIGKILL} {
		if got, err := (runner.Instance{StopSignal: name}).Signal(); err != nil || got != want {
			t.Errorf("signal %q is %v, %v, want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"TERM", "SIGNAL", "15", "sigterm"} {
		if got, err := (runner.Instance{StopSignal: name}).Signal(); err == nil || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("signal %q is %v, %v, want an error that names it", name, got, err)
		}
	}
}
