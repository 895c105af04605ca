package static_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/runner"
	"switchd/runner/runnertest"
	"switchd/runner/static"
)

// swapperVar makes the test binary an agent that starts the two instances on
// its stdin in turn, until it is killed.
const swapperVar = "STATIC_TEST_SWAPPER"

func TestMain(m *testing.M) {
	if os.Getenv(swapperVar) != "" {
		actAsSwapper()
		return
	}
	goleak.VerifyTestMain(m)
}

func actAsSwapper() {
	var versions [2]runner.Instance
	if err := json.NewDecoder(os.Stdin).Decode(&versions); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	rt := static.New(slog.New(slog.DiscardHandler))
	for i := 0; ctx.Err() == nil; i++ {
		if _, err := rt.Start(ctx, versions[i%2]); err != nil {
			panic(err)
		}
		if i == 0 {
			os.Stdout.WriteString("swapping\n") //nolint:errcheck // The reader fails.
		}
	}
}

func newRuntime(t *testing.T) *static.Runtime {
	t.Helper()
	rt := static.New(slog.New(slog.NewTextHandler(t.Output(), nil)))
	rt.Interval = 5 * time.Millisecond
	return rt
}

func TestRuntime_Conforms(t *testing.T) {
	t.Parallel()
	runnertest.Conform(t, runnertest.Options{
		New: func(t *testing.T) runner.Runtime { return newRuntime(t) },
		Prepare: func(_ *testing.T, app *runnertest.App) {
			app.Settings = map[string]string{static.LinkSetting: filepath.Join(filepath.Dir(filepath.Dir(app.LogFile)), "www")}
			app.Hooks = map[string][]string{static.ReloadHook: {"true"}}
		},
		Without: map[runnertest.Ability]string{
			runnertest.Process: "it puts files in place for a server that runs already",
		},
	})
}

// site is a link and the versions that it may lead to.
type site struct {
	*testing.T
	root, link string
}

func newSite(t *testing.T) *site {
	t.Helper()
	root := t.TempDir()
	return &site{T: t, root: root, link: filepath.Join(root, "www", "web")}
}

// version makes a release, and the link's directory.
func (s *site) version(version string) runner.Instance {
	s.Helper()
	dir := filepath.Join(s.root, "releases", version)
	for _, made := range []string{dir, filepath.Dir(s.link)} {
		s.must(os.MkdirAll(made, 0o755))
	}
	s.must(os.WriteFile(filepath.Join(dir, "index.html"), []byte(version), 0o600))
	return runner.Instance{
		ID: s.root + ":web-blue", Version: version, Dir: dir, LogFile: filepath.Join(s.root, "logs", "web-blue.log"),
		Settings: map[string]string{static.LinkSetting: s.link}, Hooks: map[string][]string{}, HookTimeout: 10 * time.Second,
	}
}

// reloads gives an instance a reload of its release.
func (s *site) reloads(inst runner.Instance, script string) runner.Instance {
	s.Helper()
	s.must(os.WriteFile(filepath.Join(inst.Dir, "reload.sh"), []byte("#!/bin/sh\n"+script), 0o700)) // It is to be run.
	inst.Hooks[static.ReloadHook] = []string{"./reload.sh"}
	return inst
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) start(rt *static.Runtime, inst runner.Instance) runner.Handle {
	s.Helper()
	h, err := rt.Start(s.Context(), inst)
	s.must(err)
	return h
}

func (s *site) wantServed(version string) {
	s.Helper()
	if got, err := os.ReadFile(filepath.Join(s.link, "index.html")); err != nil || string(got) != version {
		s.Errorf("served is %q, %v, want %q", got, err, version)
	}
}

func (s *site) wantStatus(rt *static.Runtime, h runner.Handle, running bool, why string) {
	s.Helper()
	got, err := rt.Status(s.Context(), h)
	if err != nil || got.Running != running || !strings.Contains(got.Why, why) {
		s.Errorf("status is %+v, %v, want running %v and why with %q", got, err, running, why)
	}
}

func (s *site) log(inst runner.Instance) string {
	s.Helper()
	text, err := os.ReadFile(inst.LogFile)
	s.must(err)
	return string(text)
}

func wantErr(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestRuntime_NeverLeavesReadersWithoutContent(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	versions := []runner.Instance{s.version("1.0.0"), s.version("2.0.0")}
	h := s.start(rt, versions[0])

	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if got, err := os.ReadFile(filepath.Join(s.link, "index.html")); err != nil || len(got) != len("1.0.0") {
					t.Errorf("read %q, %v", got, err)
					return
				}
			}
		})
	}
	for i := range 30 {
		s.must(rt.Stop(t.Context(), h, versions[i%2]))
		h = s.start(rt, versions[(i+1)%2])
	}
	close(done)
	readers.Wait()
}

func TestRuntime_KeepsContentAfterAStop(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	one, two := s.version("1.0.0"), s.version("2.0.0")
	first := s.start(rt, one)
	s.must(rt.Stop(t.Context(), first, one))
	s.wantServed("1.0.0")
	s.wantStatus(rt, first, false, "stopped")
	second := s.start(rt, two)
	s.wantServed("2.0.0")
	s.wantStatus(rt, second, true, "")
	s.wantStatus(rt, first, false, "leads to "+two.Dir)

	again := s.start(rt, two)
	if again == second {
		t.Error("two starts gave the same handle")
	}
	s.wantStatus(rt, again, true, "")
	s.wantStatus(rt, second, false, "replaced")
}

func TestRuntime_ReloadSeesTheNewContentAndItsEnvironment(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	inst := s.version("1.0.0")
	inst.Env = map[string]string{"GREETING": "hello"}
	s.reloads(inst, fmt.Sprintf(`echo "$SWITCHD_VERSION $GREETING $(cat %s/index.html)"; pwd; echo oops >&2`, s.link))
	s.must(rt.Stage(t.Context(), inst))
	s.start(rt, inst)
	if got, want := s.log(inst), "1.0.0 hello 1.0.0\n"+inst.Dir+"\noops\n"; got != want {
		t.Errorf("log is %q, want %q", got, want)
	}
}

func TestRuntime_PutsTheLinkBackWhenTheReloadFails(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	one, two := s.version("1.0.0"), s.version("2.0.0")
	first := s.start(rt, one)
	seen := filepath.Join(s.root, "seen")
	s.reloads(two, fmt.Sprintf("cat %s/index.html >>%s; echo 'syntax error in web.conf:7' >&2; exit 4", s.link, seen))
	_, err := rt.Start(t.Context(), two)
	wantErr(t, err, "2.0.0", "reload", "exit status 4", "syntax error in web.conf:7", s.link+" leads to "+one.Dir+" again", "failed too")
	s.wantServed("1.0.0")
	s.wantStatus(rt, first, true, "")
	if got, err := os.ReadFile(seen); err != nil || string(got) != "2.0.01.0.0" {
		t.Errorf("reloads saw %q, %v, want the new content and then the old one", got, err)
	}
	if found, err := rt.Find(t.Context(), two); err != nil || len(found) != 1 || found[0] != first {
		t.Errorf("found %q, %v, want %q", found, err, first)
	}
}

func TestRuntime_RemovesTheLinkWhenTheFirstReloadFails(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	inst := s.reloads(s.version("1.0.0"), "exit 1")
	_, err := rt.Start(t.Context(), inst)
	wantErr(t, err, "said nothing", "there was none before")
	if _, err := os.Lstat(s.link); !os.IsNotExist(err) {
		t.Errorf("the link: %v, want none", err)
	}
}

func TestRuntime_IsNotRunningWhenTheSameReleaseFailsToReload(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	inst := s.version("1.0.0")
	h := s.start(rt, inst)
	s.must(rt.Stop(t.Context(), h, inst))
	if _, err := rt.Start(t.Context(), s.reloads(inst, "exit 1")); err == nil {
		t.Error("no error")
	}
	s.wantServed("1.0.0")
	if found, err := rt.Find(t.Context(), inst); err != nil || len(found) != 0 {
		t.Errorf("found %q, %v, want nothing", found, err)
	}
}

func TestRuntime_KillsAReloadThatHangs(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	one := s.version("1.0.0")
	s.start(rt, one)
	two := s.reloads(s.version("2.0.0"), "echo waiting for a lock; sleep 600")
	two.HookTimeout = 200 * time.Millisecond
	begin := time.Now()
	_, err := rt.Start(t.Context(), two)
	wantErr(t, err, `hook "reload" (./reload.sh)`, "killed after its timeout of 200ms", "waiting for a lock", "hook_timeout")
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	s.wantServed("1.0.0")
}

func TestRuntime_PutsTheLinkBackWhenItsCallerGivesUp(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	one := s.version("1.0.0")
	first := s.start(rt, one)
	// The reload of the new content waits, that of the old one does not.
	two := s.reloads(s.version("2.0.0"), fmt.Sprintf(`echo called >>%s/calls; [ "$(cat %s/index.html)" = 1.0.0 ] || sleep 600`, s.root, s.link))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := rt.Start(ctx, two)
	wantErr(t, err, "its caller gave up", s.link+" leads to "+one.Dir+" again")
	s.wantServed("1.0.0")
	s.wantStatus(rt, first, true, "")
	if calls, err := os.ReadFile(filepath.Join(s.root, "calls")); err != nil || string(calls) != "called\ncalled\n" {
		t.Errorf("reloads: %q, %v, want two", calls, err)
	}
}

func TestRuntime_StageRefusesWhatCannotBeStarted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(*site, *runner.Instance)
		want    []string
	}{
		"no link": {
			func(_ *site, inst *runner.Instance) { inst.Settings = nil },
			[]string{`"link" is missing`},
		},
		"a relative link": {
			func(_ *site, inst *runner.Instance) { inst.Settings[static.LinkSetting] = "www/web" },
			[]string{`link = "www/web"`, "absolute"},
		},
		"a directory in the way": {
			func(s *site, _ *runner.Instance) { s.must(os.Mkdir(s.link, 0o700)) },
			[]string{"www/web is in the way", "move it away"},
		},
		"a file in the way": {
			func(s *site, _ *runner.Instance) { s.must(os.WriteFile(s.link, nil, 0o600)) },
			[]string{"www/web is in the way"},
		},
		"no directory for the link": {
			func(s *site, _ *runner.Instance) { s.must(os.Remove(filepath.Dir(s.link))) },
			[]string{"www, which is not there", "create that directory"},
		},
		"a link that can't be made": {
			func(_ *site, inst *runner.Instance) { inst.Settings[static.LinkSetting] = "/proc/web" },
			[]string{"no link can be made in /proc", "let the agent write there"},
		},
		"no program to reload": {
			func(_ *site, inst *runner.Instance) {
				inst.Hooks[static.ReloadHook] = []string{"no-such-program", "reload"}
			},
			[]string{`hook "reload"`, "no-such-program", "no such program in PATH"},
		},
		"no release": {
			func(s *site, inst *runner.Instance) { s.must(os.RemoveAll(inst.Dir)) },
			[]string{"find the release"},
		},
		"a user": {
			func(_ *site, inst *runner.Instance) { inst.User = "nobody" },
			[]string{"starts no process"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, rt := newSite(t), newRuntime(t)
			inst := s.version("1.0.0")
			s.must(rt.Stage(t.Context(), inst))
			test.prepare(s, &inst)
			wantErr(t, rt.Stage(t.Context(), inst), append(test.want, "stage "+inst.ID+" 1.0.0")...)
		})
	}
}

func TestRuntime_NeverReplacesWhatIsNoLink(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	inst := s.version("1.0.0")
	s.must(os.WriteFile(s.link, []byte("precious"), 0o600))
	_, err := rt.Start(t.Context(), inst)
	wantErr(t, err, "in the way")
	if got, err := os.ReadFile(s.link); err != nil || string(got) != "precious" {
		t.Errorf("the file is %q, %v", got, err)
	}
}

func TestRuntime_CleanupLeavesNoDanglingLink(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	inst := s.version("1.0.0")
	h := s.start(rt, inst)
	s.must(rt.Cleanup(t.Context(), inst))
	s.wantServed("1.0.0")
	s.wantStatus(rt, h, true, "")
	s.must(rt.Stop(t.Context(), h, inst))
	for range 2 {
		s.must(rt.Cleanup(t.Context(), inst))
		for _, dir := range []string{filepath.Dir(s.link), filepath.Dir(inst.LogFile)} {
			if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
				t.Errorf("left in %s: %v", dir, left)
			}
		}
	}
	s.wantStatus(rt, h, false, s.link+" is not there")
}

func TestRuntime_FollowsAMoveToAnotherLink(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	one, two := s.version("1.0.0"), s.version("2.0.0")
	first := s.start(rt, one)
	two.Settings[static.LinkSetting] = s.link + "-new"
	if found, err := rt.Find(t.Context(), two); err != nil || len(found) != 1 || found[0] != first {
		t.Errorf("found %q, %v, want what is behind the former link", found, err)
	}
	s.must(rt.Stop(t.Context(), first, two))
	second := s.start(rt, two)
	s.wantStatus(rt, first, false, "stopped")
	s.wantStatus(rt, second, true, "")
	s.must(rt.Cleanup(t.Context(), one))
	if _, err := os.Lstat(s.link); !os.IsNotExist(err) {
		t.Errorf("the former link: %v, want none", err)
	}
	s.wantStatus(rt, second, true, "")
}

func TestRuntime_WaitSeesALinkThatIsChangedByHand(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	h := s.start(rt, s.version("1.0.0"))
	ended := make(chan error, 1)
	go func() { ended <- rt.Wait(t.Context(), h) }()
	s.must(os.Remove(s.link))
	s.must(<-ended)
	s.wantStatus(rt, h, false, "is not there")
}

func TestRuntime_StartsAgainAfterItsNotesWereSpoilt(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	inst := s.version("1.0.0")
	h := s.start(rt, inst)
	s.must(os.WriteFile(filepath.Join(s.root, "logs", "web-blue.static.json"), []byte(`{"runs":[{`), 0o600))
	s.wantStatus(rt, h, false, "no note of it")
	if found, err := rt.Find(t.Context(), inst); err != nil || len(found) != 0 {
		t.Errorf("found %q, %v", found, err)
	}
	h = s.start(rt, inst)
	s.wantStatus(rt, h, true, "")
}

// A kill between the steps of a start must leave content behind the link, and
// a start that was not finished must not count as one.
func TestRuntime_SurvivesKillsInTheMiddleOfASwap(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	versions := []runner.Instance{s.version("1.0.0"), s.version("2.0.0")}
	s.start(rt, versions[0])
	config, err := json.Marshal(versions)
	s.must(err)
	binary, err := os.Executable()
	s.must(err)
	for round := range 12 {
		s.killSwapper(binary, string(config), time.Duration(round)*700*time.Microsecond)
		if got, err := os.ReadFile(filepath.Join(s.link, "index.html")); err != nil {
			t.Fatalf("served is %q, %v", got, err)
		}
		found, err := rt.Find(t.Context(), versions[0])
		s.must(err)
		for _, h := range found {
			s.wantStatus(rt, h, true, "")
			s.must(rt.Stop(t.Context(), h, versions[0]))
		}
		h := s.start(rt, versions[1])
		s.wantServed("2.0.0")
		s.wantStatus(rt, h, true, "")
		if left, err := os.ReadDir(filepath.Dir(s.link)); err != nil || len(left) != 1 {
			t.Fatalf("beside the link: %v, %v", left, err)
		}
	}
}

func (s *site) killSwapper(binary, config string, after time.Duration) {
	s.Helper()
	command := exec.CommandContext(s.Context(), binary)
	command.Env = append(os.Environ(), swapperVar+"=1")
	command.Stdin = strings.NewReader(config)
	out, err := command.StdoutPipe()
	s.must(err)
	s.must(command.Start())
	if _, err := out.Read(make([]byte, 16)); err != nil {
		s.Errorf("the swapper: %v", err)
	}
	<-time.After(after)
	s.must(command.Process.Kill())
	if err := command.Wait(); err == nil || command.ProcessState.Exited() {
		s.Errorf("the swapper was not killed: %v", err)
	}
}

func TestRuntime_KeepsItsNotesToItself(t *testing.T) {
	t.Parallel()
	s, rt := newSite(t), newRuntime(t)
	s.start(rt, s.version("1.0.0"))
	info, err := os.Stat(filepath.Join(s.root, "logs", "web-blue.static.json"))
	s.must(err)
	if info.Mode() != fs.FileMode(0o600) {
		t.Errorf("the notes have mode %v", info.Mode())
	}
}
