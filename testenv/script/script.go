// Package script is what the tests of commands have in common: scripts that
// compare what a command prints, to the letter, and its exit status.
package script

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// Main runs the tests and the commands that scripts call, and fails where the
// tests left goroutines behind. It does not return.
func Main(m *testing.M, commands map[string]func()) {
	testscript.Main(leakless{m}, commands)
}

type leakless struct{ *testing.M }

// Run runs the tests.
func (l leakless) Run() int {
	status := l.M.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// Hurry has commands that are built with the race detector end at once; it
// would sleep for a second otherwise.
func Hurry(env *testscript.Env) { env.Setenv("GORACE", "atexit_sleep_ms=10") }

// Exits is a command of scripts. It runs a command that must end with a
// status, and masks what differs from run to run in its output:
//
//	exits STATUS COMMAND [ARG...]
func Exits(mask func(ts *testscript.TestScript, text string) string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 2 {
			ts.Fatalf("usage: exits STATUS COMMAND [ARG...]")
		}
		want, err := strconv.Atoi(args[0])
		ts.Check(err)
		got := 0
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok {
				ts.Fatalf("%v", err)
			}
			got = exit.ExitCode()
		}
		stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
		fmt.Fprint(ts.Stdout(), mask(ts, stdout))
		fmt.Fprint(ts.Stderr(), mask(ts, stderr))
		if got != want {
			ts.Fatalf("exit status %d, want %d", got, want)
		}
	}
}
