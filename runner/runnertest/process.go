package runnertest

import (
	"os"
	"strings"
	"testing"
	"time"
)

// What a kind must do that runs processes.

func runsInItsDir(t *testing.T, o Options) {
	app, rt := o.app(t, "pwd\n"+Serve), o.New(t)
	h := app.Start(t, rt)
	o.ready(t, app)
	must(t, rt.Stop(Context(t), h, app.Instance))
	if got, want := app.Log(t), app.Dir+"\nbye\n"; got != want {
		t.Errorf("log is %q, want %q", got, want)
	}
}

// The caller's test sets $SECRET for itself to see whether it leaks.
func givesItsEnvironment(t *testing.T, o Options) {
	app := o.app(t, `echo "$SWITCHD_INSTANCE $SWITCHD_VERSION $GREETING [$SECRET] $*"
read line || echo no input
`+Serve)
	app.Env["GREETING"] = "hello $HOME %h world"
	app.Command = append(app.Command, "one", "two words", "$HOME", "%h")
	rt := o.New(t)
	h := app.Start(t, rt)
	o.ready(t, app)
	must(t, rt.Stop(Context(t), h, app.Instance))
	want := app.ID + " 1.4.2 hello $HOME %h world [] one two words $HOME %h\nno input\nbye\n"
	if got := app.Log(t); got != want {
		t.Errorf("log is %q, want %q", got, want)
	}
}

func keepsItsOutput(t *testing.T, o Options) {
	app, rt := o.app(t, "echo oops >&2\n"+Serve), o.New(t)
	for range 2 {
		h := app.Start(t, rt)
		o.ready(t, app)
		must(t, rt.Stop(Context(t), h, app.Instance))
	}
	if got, want := app.Log(t), "oops\nbye\noops\nbye\n"; got != want {
		t.Errorf("log is %q, want %q", got, want)
	}
	info, err := os.Stat(app.LogFile)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("log has mode %v, want 0600", info.Mode())
	}
}

// farewell is Serve with a report, for kinds without a log.
const farewell = `trap 'kill -9 $! 2>/dev/null; echo bye >"$REPORT"; exit 0' TERM
sleep 600 &
echo ready >"$REPORT"
wait
`

func stopsGracefully(t *testing.T, o Options) {
	app, rt := o.app(t, farewell), o.New(t)
	h := app.Start(t, rt)
	o.ready(t, app)
	must(t, rt.Stop(Context(t), h, app.Instance))
	if got := app.Report(t); got != "bye" {
		t.Errorf("reported %q, want the script's farewell", got)
	}
	wantRunning(t, rt, h, false)
}

func sendsTheSignalThatIsAskedFor(t *testing.T, o Options) {
	app, rt := o.app(t, strings.ReplaceAll(farewell, "TERM", "USR1")), o.New(t)
	app.StopSignal = "SIGUSR1"
	h := app.Start(t, rt)
	o.ready(t, app)
	must(t, rt.Stop(Context(t), h, app.Instance))
	if got := app.Report(t); got != "bye" {
		t.Errorf("reported %q, want the script's farewell", got)
	}
	app.StopSignal = "SIGNAL"
	if err := rt.Stage(Context(t), app.Instance); err == nil || !strings.Contains(err.Error(), `"SIGNAL"`) {
		t.Errorf("stage with an unknown stop signal: %v, want an error that names it", err)
	}
}

func killsWhatIgnoresTheSignal(t *testing.T, o Options) {
	app, rt := o.app(t, Stubborn), o.New(t)
	app.StopGrace = time.Second // Whole seconds: some can't count smaller.
	h := app.Start(t, rt)
	o.ready(t, app)
	begin := time.Now()
	must(t, rt.Stop(Context(t), h, app.Instance))
	if took := time.Since(begin); took < app.StopGrace {
		t.Errorf("stopped after %v, before the grace of %v was over", took, app.StopGrace)
	}
	wantRunning(t, rt, h, false)
	app.WantReleased(t)
}

func stopEndsGrandchildren(t *testing.T, o Options) {
	stopEnds(t, o, `exec 9>"$HELD"
(trap '' TERM; (trap '' TERM; echo ready >"$REPORT"; while :; do sleep 600; done) & wait; sleep 600) &
wait
`)
}

func stopEndsWhatLeftItsSession(t *testing.T, o Options) {
	stopEnds(t, o, `exec 9>"$HELD"
(setsid sh -c 'trap "" TERM; echo ready >"$REPORT"; while :; do sleep 600; done' &)
exec sleep 600
`)
}

func stopEnds(t *testing.T, o Options, script string) {
	t.Helper()
	app, rt := o.app(t, script), o.New(t)
	app.StopGrace = time.Second
	h := app.Start(t, rt)
	o.ready(t, app)
	must(t, rt.Stop(Context(t), h, app.Instance))
	app.WantReleased(t)
	wantFound(t, rt, app)
}

// seesItsEnd: a kind that starts again what has ended says so, for another
// one it is over.
func seesItsEnd(t *testing.T, o Options) {
	app, rt := o.app(t, "echo ready >\"$REPORT\"\nexit 3\n"), o.New(t)
	app.StopGrace = time.Second // An engine may wait for one that is just being started again.
	h := app.Start(t, rt)
	o.ready(t, app)
	if reason := o.lacks(Restart); reason != "" {
		t.Log(reason)
		must(t, rt.Wait(Context(t), h))
		wantRunning(t, rt, h, false)
		return
	}
	o.ready(t, app)
	status, err := rt.Status(Context(t), h)
	must(t, err)
	if !status.Running || status.Restarts < 1 || !strings.Contains(status.Why, "3") {
		t.Errorf("status is %+v, want it to be running, started again, and ended with status 3", status)
	}
	must(t, rt.Stop(Context(t), h, app.Instance))
	wantRunning(t, rt, h, false)
}

func setsLimits(t *testing.T, o Options) {
	app, rt := o.app(t, "ulimit -n\nulimit -c\n"+Serve), o.New(t)
	app.Limits = map[string]uint64{"nofile": 123, "core": 0}
	h := app.Start(t, rt)
	o.ready(t, app)
	must(t, rt.Stop(Context(t), h, app.Instance))
	if got, want := app.Log(t), "123\n0\nbye\n"; got != want {
		t.Errorf("limits are %q, want %q", got, want)
	}
}

// runsAsItsUser applies to root alone: nobody else can become another user.
func runsAsItsUser(t *testing.T, o Options) {
	if os.Geteuid() != 0 {
		t.Log("does not apply, only root can become another user")
		return
	}
	app, rt := o.app(t, `echo "$(id -un)" >"$REPORT"
exec sleep 600
`), o.New(t)
	app.User = "nobody"
	app.Start(t, rt)
	if got := app.Report(t); got != "nobody" {
		t.Errorf("runs as %q, want nobody", got)
	}
}

// stageRefusesUsers: one that does not exist, and any other one if the kind, or
// the agent that is not root, can't become it. A user that is silently ignored
// would be the agent's.
func stageRefusesUsers(t *testing.T, o Options) {
	app, rt := o.app(t, Serve), o.New(t)
	users := []string{"no-such-user"}
	if o.lacks(User) != "" || os.Geteuid() != 0 {
		users = append(users, "nobody")
	}
	for _, app.User = range users {
		if err := rt.Stage(Context(t), app.Instance); err == nil || !strings.Contains(err.Error(), app.User) {
			t.Errorf("stage for the user %s: %v, want an error that names it", app.User, err)
		}
	}
}

func stageRefusesWhatCannotRun(t *testing.T, o Options) {
	app, rt := o.app(t, Serve), o.New(t)
	app.Command = []string{"./missing"}
	for call, err := range map[string]error{
		"Stage": rt.Stage(Context(t), app.Instance),
		"Start": func() error { _, err := rt.Start(Context(t), app.Instance); return err }(),
	} {
		if err == nil {
			t.Errorf("%s of a command that is not there: no error", call)
			continue
		}
		for _, part := range []string{app.ID, app.Version, "missing"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %q does not say %q", call, err, part)
			}
		}
	}
	wantFound(t, rt, app)
}
