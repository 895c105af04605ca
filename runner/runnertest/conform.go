// Package runnertest holds what every runtime must do, as tests.
//
// A runtime of your own is tested like those of switchd, in a test of its
// package:
//
//	func TestRuntime_Conforms(t *testing.T) {
//		runnertest.Conform(t, runnertest.Options{
//			New: func(t *testing.T) runner.Runtime { return mykind.New(...) },
//			Prepare: func(t *testing.T, app *runnertest.App) {
//				app.Settings = map[string]string{"image": archiveOf(t, app.Dir)}
//			},
//			Without: map[runnertest.Ability]string{
//				runnertest.Log: "the engine keeps the logs: mykind logs ID",
//			},
//		})
//	}
//
// Each test makes an App: a release whose command is a shell script, ./app,
// under an ID that nothing else has. The script talks to the test over FIFOs,
// which lie in App.Pipes. Without says what the kind can't do by its nature,
// with the reason; a kind that runs no process, such as files for a server
// that is there already, has no Process, and what is left are the promises
// about Stage, Start, Find, Status, Stop, Wait and Cleanup.
//
// The tests run in parallel. As root, they also start something as the user
// nobody.
package runnertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"switchd/runner"
)

// Conform tests a kind of runtime with real instances.
func Conform(t *testing.T, o Options) {
	t.Helper()
	o.validate(t)
	for _, test := range []struct {
		name  string
		needs []Ability
		run   func(*testing.T, Options)
	}{
		{"StartsAndStops", nil, startsAndStops},
		{"OutlivesTheContextOfItsStart", nil, outlivesTheContextOfItsStart},
		{"AnotherValueAdopts", nil, anotherValueAdopts},
		{"FindsByID", nil, findsByID},
		{"StopOfSomethingGoneIsNoError", nil, stopOfSomethingGoneIsNoError},
		{"StopsInParallel", nil, stopsInParallel},
		{"WaitObeysItsContext", nil, waitObeysItsContext},
		{"WaitSeesTheStop", nil, waitSeesTheStop},
		{"StageAndCleanupTouchNothingThatRuns", nil, stageAndCleanupTouchNothingThatRuns},
		{"RefusesHandlesThatItNeverGave", nil, refusesHandlesThatItNeverGave},
		{"RunsInItsDir", []Ability{Process, Dir, Log}, runsInItsDir},
		{"GivesItsEnvironment", []Ability{Process, Env, Log}, givesItsEnvironment},
		{"KeepsItsOutput", []Ability{Process, Log}, keepsItsOutput},
		{"StopsGracefully", []Ability{Process, Signal}, stopsGracefully},
		{"SendsTheSignalThatIsAskedFor", []Ability{Process, Signal}, sendsTheSignalThatIsAskedFor},
		{"KillsWhatIgnoresTheSignal", []Ability{Process, Signal}, killsWhatIgnoresTheSignal},
		{"StopEndsGrandchildren", []Ability{Process, Tree}, stopEndsGrandchildren},
		{"StopEndsWhatLeftItsSession", []Ability{Process, Tree}, stopEndsWhatLeftItsSession},
		{"SeesItsEnd", []Ability{Process, End}, seesItsEnd},
		{"SetsLimits", []Ability{Process, Limits, Log}, setsLimits},
		{"RunsAsItsUser", []Ability{Process, User}, runsAsItsUser},
		{"StageRefusesUsersThatItCannotRunAs", []Ability{Process, Lookup}, stageRefusesUsers},
		{"StageRefusesWhatCannotRun", []Ability{Process, Check}, stageRefusesWhatCannotRun},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if len(test.needs) > 0 {
				if reason := o.lacks(test.needs...); reason != "" {
					t.Log("does not apply, " + reason)
					return
				}
			}
			test.run(t, o)
		})
	}
}

func startsAndStops(t *testing.T, o Options) {
	app, rt := o.app(t, Serve), o.New(t)
	wantFound(t, rt, app)
	h := app.Start(t, rt)
	o.ready(t, app)
	wantRunning(t, rt, h, true)
	must(t, rt.Stop(Context(t), h, app.Instance))
	wantRunning(t, rt, h, false)
	wantFound(t, rt, app)
	must(t, rt.Wait(Context(t), h))
}

func outlivesTheContextOfItsStart(t *testing.T, o Options) {
	app, rt := o.app(t, Serve), o.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := app.startIn(ctx, t, rt)
	o.ready(t, app)
	cancel()
	wantRunning(t, rt, h, true)
	must(t, rt.Stop(Context(t), h, app.Instance))
}

func anotherValueAdopts(t *testing.T, o Options) {
	app := o.app(t, Serve)
	h := app.Start(t, o.New(t))
	o.ready(t, app)
	other := o.New(t)
	wantRunning(t, other, h, true)
	wantFound(t, other, app, h)
	must(t, other.Stop(Context(t), h, app.Instance))
	must(t, other.Wait(Context(t), h))
	wantRunning(t, o.New(t), h, false)
}

func findsByID(t *testing.T, o Options) {
	app, rt := o.app(t, Serve), o.New(t)
	other := NewApp(t, app.ID+"-other", Serve)
	o.prepare(t, other)
	h, otherHandle := app.Start(t, rt), other.Start(t, rt)
	o.ready(t, app)
	o.ready(t, other)
	wantFound(t, rt, app, h)
	wantFound(t, rt, o.next(t, app, "1.5.0", Serve), h)
	must(t, rt.Stop(Context(t), h, app.Instance))
	wantFound(t, rt, app)
	wantFound(t, rt, other, otherHandle)
}

func stopOfSomethingGoneIsNoError(t *testing.T, o Options) {
	app, rt := o.app(t, Serve), o.New(t)
	h := app.Start(t, rt)
	o.ready(t, app)
	for range 3 {
		must(t, rt.Stop(Context(t), h, app.Instance))
	}
	must(t, rt.Cleanup(Context(t), app.Instance))
	must(t, rt.Stop(Context(t), h, app.Instance))
	wantRunning(t, rt, h, false)
}

func stopsInParallel(t *testing.T, o Options) {
	app, rt := o.app(t, Serve), o.New(t)
	h := app.Start(t, rt)
	o.ready(t, app)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := rt.Stop(Context(t), h, app.Instance); err != nil {
				t.Error(err)
			}
			wantRunning(t, rt, h, false)
		})
	}
	group.Wait()
}

func waitObeysItsContext(t *testing.T, o Options) {
	app, rt := o.app(t, Serve), o.New(t)
	h := app.Start(t, rt)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := rt.Wait(ctx, h); err != context.DeadlineExceeded { //nolint:errorlint // The contract says ctx's error.
		t.Errorf("wait: %v, want %v", err, context.DeadlineExceeded)
	}
	wantRunning(t, rt, h, true)
}

func waitSeesTheStop(t *testing.T, o Options) {
	app, rt := o.app(t, Serve), o.New(t)
	h := app.Start(t, rt)
	o.ready(t, app)
	ended := make(chan error, 1)
	go func() { ended <- rt.Wait(Context(t), h) }()
	must(t, o.New(t).Stop(Context(t), h, app.Instance))
	must(t, <-ended)
}

func stageAndCleanupTouchNothingThatRuns(t *testing.T, o Options) {
	app, rt := o.app(t, Serve), o.New(t)
	h := app.Start(t, rt)
	o.ready(t, app)
	next := o.next(t, app, "1.5.0", Serve)
	for range 2 {
		must(t, rt.Stage(Context(t), next.Instance))
		wantRunning(t, rt, h, true)
	}
	for range 2 {
		must(t, rt.Cleanup(Context(t), next.Instance))
		wantRunning(t, rt, h, true)
	}
	wantFound(t, rt, app, h)
	must(t, rt.Stop(Context(t), h, app.Instance))

	nextHandle := next.Start(t, rt)
	o.ready(t, next)
	for range 2 {
		must(t, rt.Cleanup(Context(t), app.Instance))
	}
	wantRunning(t, rt, nextHandle, true)
	wantRunning(t, rt, h, false)
	wantFound(t, rt, next, nextHandle)
}

func refusesHandlesThatItNeverGave(t *testing.T, o Options) {
	app, rt := o.app(t, Serve), o.New(t)
	for _, h := range []runner.Handle{"", "pid", "pid:0:0:x", "pid:-1:0:x", "pid:1:1:x", "pid:2:x:x", "no such kind:web:1:2", "\n\x00"} {
		if _, err := rt.Status(Context(t), h); err == nil {
			t.Errorf("Status(%q): no error", h)
		}
		if err := rt.Stop(Context(t), h, app.Instance); err == nil {
			t.Errorf("Stop(%q): no error", h)
		}
		if err := rt.Wait(Context(t), h); err == nil {
			t.Errorf("Wait(%q): no error", h)
		}
	}
}
