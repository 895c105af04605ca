package docker_test

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"switchd/runner"
	"switchd/runner/docker"
	"switchd/runner/runnertest"
)

func TestRuntime_Conforms(t *testing.T) {
	t.Setenv("SECRET", "of the agent")
	e := newEngine(t)
	runnertest.Conform(t, runnertest.Options{
		New:     func(t *testing.T) runner.Runtime { return unprivileged{newRuntime(t)} },
		Prepare: e.prepare,
		Without: map[runnertest.Ability]string{
			runnertest.Lookup: "users are the image's: the engine looks them up when it starts a container",
		},
	})
}

// unprivileged gives a limit with any other: what isn't limited podman raises,
// which needs CAP_SYS_RESOURCE.
type unprivileged struct{ runner.Runtime }

func (u unprivileged) Start(ctx context.Context, inst runner.Instance) (runner.Handle, error) {
	if len(inst.Limits) > 0 {
		inst.Limits = maps.Clone(inst.Limits)
		inst.Limits["nproc"] = 1000
	}
	return u.Runtime.Start(ctx, inst)
}

func newRuntime(t *testing.T) runner.Runtime {
	t.Helper()
	return docker.New(slog.New(slog.NewTextHandler(t.Output(), nil)))
}

// prepare adds an image to an app, and puts its FIFOs where a container has
// them too.
func (e *engine) prepare(t *testing.T, app *runnertest.App) {
	t.Helper()
	app.Settings = map[string]string{"image": "image.tar", "socket": e.socket()}
	writeArchive(t, filepath.Join(app.Dir, "image.tar"), "docker.io/library/web:"+app.Version)
	for name, variable := range map[string]string{"report": "REPORT", "held": "HELD"} {
		path := filepath.Join(app.Dir, name)
		if err := os.Link(filepath.Join(app.Pipes, name), path); err != nil {
			t.Fatal(err)
		}
		app.Env[variable] = path
	}
}
