package docker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchd/runner"
	"switchd/runner/docker"
	"switchd/runner/runnertest"
)

func (e *engine) app(t *testing.T, id, script string) *runnertest.App {
	t.Helper()
	app := runnertest.NewApp(t, id, script)
	e.prepare(t, app)
	return app
}

func TestStage_NamesWhatIsWrongWithTheImage(t *testing.T) {
	t.Parallel()
	e, rt := newEngine(t), newRuntime(t)
	app := e.app(t, "web-image", runnertest.Serve)
	for name, text := range map[string]string{"text.tar": "no archive", "empty.tar": ""} {
		if err := os.WriteFile(filepath.Join(app.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(filepath.Join(app.Dir, "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(app.Dir, "torn.tar"), whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for image, wants := range map[string][]string{
		"":                         {"names no image"},
		"gone.tar":                 {app.Dir + "/gone.tar", "no such file", "what was packed"},
		"../image.tar":             {"../image.tar", "leads out of the release"},
		"text.tar":                 {app.Dir + "/text.tar", "docker save"},
		"empty.tar":                {app.Dir + "/empty.tar", "no archive of an image"},
		"torn.tar":                 {app.Dir + "/torn.tar", "docker save"},
		"registry.test/not-here:1": {e.socket(), `"registry.test/not-here:1"`, "load it on each node"},
	} {
		app.Settings["image"] = image
		err := rt.Stage(runnertest.Context(t), app.Instance)
		if err == nil {
			t.Errorf("image %q: no error", image)
			continue
		}
		for _, want := range append(wants, "stage web-image 1.4.2") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("image %q: error %q does not say %q", image, err, want)
			}
		}
	}
}

func TestRuntime_SaysHowToReachAnEngine(t *testing.T) {
	t.Parallel()
	socket := "unix://" + filepath.Join(t.TempDir(), "none.sock")
	app := runnertest.NewApp(t, "web-away", runnertest.Serve)
	app.Settings = map[string]string{"image": "registry.test/web:1", "socket": socket}
	rt, ctx := docker.New(nil), runnertest.Context(t)
	_, statusErr := rt.Status(ctx, runner.Handle("container:"+strings.Repeat("ab", 32)+"@"+socket))
	for call, err := range map[string]error{"Stage": rt.Stage(ctx, app.Instance), "Status": statusErr} {
		if err == nil || !strings.Contains(err.Error(), socket) || !strings.Contains(err.Error(), "systemctl status docker") {
			t.Errorf("%s: %v, want an error with the socket and the way out", call, err)
		}
	}
	app.Settings["socket"] = "tcp://192.0.2.1:2375"
	if err := rt.Stage(ctx, app.Instance); err == nil || !strings.Contains(err.Error(), "tcp://192.0.2.1:2375") {
		t.Errorf("Stage over a network: %v, want it refused", err)
	}
}

func TestStart_LeavesNothingOfWhatCannotStart(t *testing.T) {
	t.Parallel()
	rt, ctx := newRuntime(t), runnertest.Context(t)
	app := newEngine(t).app(t, "web-broken", runnertest.Serve)
	app.Command = []string{"no-such-program"}
	if _, err := rt.Start(ctx, app.Instance); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("start: %v, want an error that names the program", err)
	}
	if found, err := rt.Find(ctx, app.Instance); err != nil || len(found) > 0 {
		t.Errorf("found %q, %v, want nothing", found, err)
	}
	if err := rt.Cleanup(ctx, app.Instance); err != nil {
		t.Error(err)
	}
}

func TestRuntime_TakesOddNamesAndRunsAsTheImagesUser(t *testing.T) {
	t.Parallel()
	rt, ctx := newRuntime(t), runnertest.Context(t)
	app := newEngine(t).app(t, `wéb/"blue"$ %n--..`, `echo "$(id -un) $SWITCHD_INSTANCE $SWITCHD_VERSION" >"$REPORT"; exit 0`)
	app.Version = "1.4.2+build/7 ü"
	app.User = "nobody"
	h := app.Start(t, rt)
	if got, want := app.Report(t), "nobody "+app.ID+" "+app.Version; got != want {
		t.Errorf("reported %q, want %q", got, want)
	}
	if err := rt.Wait(ctx, h); err != nil {
		t.Error(err)
	}
	if s, err := rt.Status(ctx, h); err != nil || s.Running || s.Why != "exit status 0" {
		t.Errorf("status %+v, %v, want a clean end", s, err)
	}
}

func TestCleanup_RemovesOneVersionsImage(t *testing.T) {
	t.Parallel()
	e, rt, ctx := newEngine(t), newRuntime(t), runnertest.Context(t)
	app, next := e.app(t, "web-cleanup", runnertest.Serve), e.app(t, "web-cleanup", runnertest.Serve)
	next.Version = "1.4.2-rc.1"
	for _, inst := range []runner.Instance{app.Instance, next.Instance} {
		if err := rt.Stage(ctx, inst); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		of   runner.Instance
		left int
	}{{app.Instance, 1}, {next.Instance, 0}, {next.Instance, 0}} {
		if err := rt.Cleanup(ctx, step.of); err != nil {
			t.Fatal(err)
		}
		out, err := e.podman(ctx, "images", "--all", "--format", "{{.Repository}}:{{.Tag}}").Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(out), "/switchd/web-cleanup-"); got != step.left {
			t.Errorf("after the cleanup of %s there are %d images, want %d: %s", step.of.Version, got, step.left, out)
		}
	}
}

func TestStage_RefusesLimitsThatEnginesDoNotSet(t *testing.T) {
	t.Parallel()
	app := runnertest.NewApp(t, "web-limits", runnertest.Serve)
	app.Limits = map[string]uint64{"as": 1 << 30}
	if err := newRuntime(t).Stage(runnertest.Context(t), app.Instance); err == nil || !strings.Contains(err.Error(), `"as"`) {
		t.Errorf("stage: %v, want an error that names the limit", err)
	}
}
