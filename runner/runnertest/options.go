package runnertest

import (
	"slices"
	"strings"
	"testing"

	"switchd/runner"
)

// Options say how a kind of runtime is tested.
type Options struct {
	// New returns a runtime. It is called several times a test: what one value
	// has started, another one must know, as the agent does after its restart.
	New func(*testing.T) runner.Runtime
	// Prepare makes an app one of this kind, such as by settings, hooks, or an
	// image of it. What the versions of an instance share is to be named after
	// LogFile, which they share too. It may be nil.
	Prepare func(*testing.T, *App)
	// Without names what the kind can't do, each with the reason, which the
	// tests log. Where there is an opposite to be tested, that is tested then.
	Without map[Ability]string
}

// Ability is something that most kinds of runtimes can do. What all of them
// must do has none.
type Ability string

// The abilities. A kind without Process is without all the others as well.
const (
	Process Ability = "process" // runs Command, as processes of this machine that can open App.Pipes
	Dir     Ability = "dir"     // runs it with Instance.Dir as its working directory
	Env     Ability = "env"     // gives it a minimal environment and Instance.Env
	Log     Ability = "log"     // appends its output to LogFile
	Signal  Ability = "signal"  // sends StopSignal, and SIGKILL after StopGrace
	Tree    Ability = "tree"    // ends all the processes that it forked
	End     Ability = "end"     // sees that it has ended by itself
	Restart Ability = "restart" // starts it again when it has ended by itself
	Limits  Ability = "limits"  // sets Limits
	User    Ability = "user"    // runs it as User; without it, Stage refuses one
	Lookup  Ability = "lookup"  // finds out in Stage that there is no such User
	Check   Ability = "check"   // finds out in Stage that Command can't be run
)

func abilities() []Ability {
	return []Ability{Process, Dir, Env, Log, Signal, Tree, End, Restart, Limits, User, Lookup, Check}
}

// validate fails for a declaration that says nothing.
func (o Options) validate(t *testing.T) {
	t.Helper()
	if o.New == nil {
		t.Fatal("runnertest: Options.New is missing: it returns the runtime to be tested")
	}
	for ability, reason := range o.Without {
		if !slices.Contains(abilities(), ability) {
			t.Fatalf("runnertest: there is no ability %q, only %q", ability, abilities())
		}
		if strings.TrimSpace(reason) == "" {
			t.Fatalf("runnertest: say why the kind is without %q", ability)
		}
	}
}

// lacks returns why the kind can't do one of these, or nothing.
func (o Options) lacks(needs ...Ability) string {
	for _, need := range append([]Ability{Process}, needs...) {
		if reason, ok := o.Without[need]; ok {
			return "without " + string(need) + ": " + reason
		}
	}
	return ""
}

// app makes an instance of this kind under an ID of its own.
func (o Options) app(t *testing.T, script string) *App {
	t.Helper()
	app := NewApp(t, uniqueID(), script)
	o.prepare(t, app)
	return app
}

// next makes another version of an app.
func (o Options) next(t *testing.T, of *App, version, script string) *App {
	t.Helper()
	app := NewApp(t, of.ID, script)
	app.Version, app.LogFile = version, of.LogFile
	o.prepare(t, app)
	return app
}

func (o Options) prepare(t *testing.T, app *App) {
	t.Helper()
	if o.Prepare != nil {
		o.Prepare(t, app)
	}
}

// ready waits until a started app says that it is.
func (o Options) ready(t *testing.T, app *App) {
	t.Helper()
	if o.lacks() != "" {
		return
	}
	if got := app.Report(t); got != "ready" {
		t.Fatalf("%s reported %q, want ready", app.ID, got)
	}
}
