package script_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/runner"
	"switchd/runner/runnertest"
	"switchd/runner/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newRuntime(t *testing.T) *script.Runtime {
	t.Helper()
	rt := script.New(slog.New(slog.NewTextHandler(t.Output(), nil)))
	rt.Interval = 20 * time.Millisecond
	return rt
}

// example is the script that the documentation shows.
func example(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/RUNTIMES.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, found := strings.Cut(string(page), "    #!/bin/sh\n")
	if !found {
		t.Fatal("docs/RUNTIMES.md shows no script")
	}
	var script strings.Builder
	for line := range strings.Lines(code) {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented {
			break
		}
		script.WriteString(text)
	}
	return script.String()
}

// write makes a script of a release.
func write(t *testing.T, inst *runner.Instance, name, text string) {
	t.Helper()
	path := filepath.Join(inst.Dir, name+".sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil { // It is to be run.
		t.Fatal(err)
	}
	if inst.Hooks == nil {
		inst.Hooks = make(map[string][]string)
	}
	inst.Hooks[name] = []string{"./" + name + ".sh"}
}

func TestRuntime_Conforms(t *testing.T) {
	t.Setenv("SECRET", "of the agent")
	runnertest.Conform(t, runnertest.Options{
		New: func(t *testing.T) runner.Runtime { return newRuntime(t) },
		Prepare: func(t *testing.T, app *runnertest.App) {
			write(t, &app.Instance, "ctl", example(t))
			app.Hooks = map[string][]string{
				"start": {"./ctl.sh", "start"}, "stop": {"./ctl.sh", "stop"}, "status": {"./ctl.sh", "status"},
			}
		},
		Without: map[runnertest.Ability]string{
			runnertest.Tree:    "ends what the stop script ends",
			runnertest.Env:     "the scripts decide which command gets which arguments",
			runnertest.Restart: "the scripts may see to that",
			runnertest.Limits:  "the start script sets them, as by ulimit",
			runnertest.User:    "the start script sets it, as by setpriv",
			runnertest.Check:   "there is no command but the scripts'",
		},
	})
}

// service is an instance whose scripts say what the test tells them to.
type service struct {
	*testing.T
	runner.Instance
	rt *script.Runtime
}

// newService makes an instance that runs as long as the file "up" is in its
// root.
func newService(t *testing.T) *service {
	t.Helper()
	root := t.TempDir()
	s := &service{T: t, rt: newRuntime(t), Instance: runner.Instance{
		ID: root + ":web-blue", Version: "1.4.2", Dir: filepath.Join(root, "release"), LogFile: filepath.Join(root, "logs", "web-blue.log"),
		Env: map[string]string{"ROOT": root}, StopSignal: "SIGQUIT", StopGrace: 1500 * time.Millisecond, HookTimeout: 10 * time.Second,
	}}
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.script("start", `touch "$ROOT/up"; echo started`)
	s.script("stop", `rm -f "$ROOT/up"`)
	s.script("status", `[ -e "$ROOT/up" ] || exit 3`)
	return s
}

func (s *service) script(name, text string) {
	s.Helper()
	write(s.T, &s.Instance, name, text+"\n")
}

func (s *service) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *service) start() runner.Handle {
	s.Helper()
	h, err := s.rt.Start(s.Context(), s.Instance)
	s.must(err)
	return h
}

func (s *service) file(name string) string { return filepath.Join(filepath.Dir(s.Dir), name) }

func (s *service) read(path string) string {
	s.Helper()
	text, err := os.ReadFile(filepath.Clean(path))
	s.must(err)
	return string(text)
}

func (s *service) wantStatus(h runner.Handle, running bool, why string) {
	s.Helper()
	got, err := s.rt.Status(s.Context(), h)
	if err != nil || got.Running != running || !strings.Contains(got.Why, why) {
		s.Errorf("status is %+v, %v, want running %v and why with %q", got, err, running, why)
	}
}

func (s *service) wantErr(err error, parts ...string) {
	s.Helper()
	if err == nil {
		s.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			s.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestRuntime_TellsScriptsWhatTheContractSays(t *testing.T) {
	t.Setenv("SECRET", "of the agent")
	s := newService(t)
	tell := `echo "${0##*/} $SWITCHD_INSTANCE $SWITCHD_VERSION $SWITCHD_DIR $SWITCHD_LOG [$SWITCHD_HANDLE] [$SWITCHD_STOP_SIGNAL] [$SWITCHD_STOP_GRACE] [$SECRET] $PWD $PATH" >>"$ROOT/told"
`
	s.script("stage", tell)
	s.script("start", tell+`touch "$ROOT/up"; echo some words; echo "unit 7"; echo; echo to people >&2`)
	s.script("status", tell+`[ -e "$ROOT/up" ] || { echo gone fishing; exit 3; }`)
	s.script("stop", tell+`rm "$ROOT/up"; echo stopping`)
	s.script("cleanup", tell+"echo cleaning")
	s.must(s.rt.Stage(t.Context(), s.Instance))
	h := s.start()
	s.wantStatus(h, true, "")
	s.must(s.rt.Stop(t.Context(), h, s.Instance))
	s.must(s.rt.Cleanup(t.Context(), s.Instance))

	line := func(name, handle, signal, grace string) string {
		return fmt.Sprintf("%s.sh %s 1.4.2 %s %s [%s] [%s] [%s] [] %[3]s /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
			name, s.ID, s.Dir, s.LogFile, handle, signal, grace)
	}
	status := line("status", "unit 7", "", "")
	want := line("stage", "", "", "") + line("start", "", "", "") +
		status + // that the script can tell of what was started
		status + // the test's
		status + line("stop", "unit 7", "SIGQUIT", "1.5") + status +
		line("cleanup", "", "", "")
	if got := s.read(s.file("told")); got != want {
		t.Errorf("scripts were told:\n%s\nwant:\n%s", got, want)
	}
	if got, want := s.read(s.LogFile), "to people\nstopping\ncleaning\n"; got != want {
		t.Errorf("log is %q, want %q", got, want)
	}
	if !strings.Contains(string(h), "version=1.4.2") || !strings.Contains(string(h), "printed=unit+7") {
		t.Errorf("handle %q does not tell the version and what was printed", h)
	}
}

func TestRuntime_KnowsRunningStoppedAndUnknownApart(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.script("status", `exit $(cat "$ROOT/status" || echo 0)`)
	h := s.start()
	for status, want := range map[string]string{"0": "runs", "3": "stopped", "1": "unknown", "2": "unknown", "4": "unknown", "255": "unknown"} {
		s.must(os.WriteFile(s.file("status"), []byte(status), 0o600))
		got, err := s.rt.Status(t.Context(), h)
		switch {
		case want == "unknown":
			s.wantErr(err, "exit status "+status, "want status 0", "1.4.2", s.ID)
		case err != nil || got.Running != (want == "runs"):
			t.Errorf("exit status %s: %+v, %v, want %s", status, got, err, want)
		}
	}
}

func TestRuntime_SaysWhyAStartFailed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.script("start", "echo trying; echo 'port 8080 is taken' >&2; exit 7")
	_, err := s.rt.Start(t.Context(), s.Instance)
	s.wantErr(err, "start "+s.ID+" 1.4.2", `hook "start"`, "exit status 7", "port 8080 is taken")
	if found, err := s.rt.Find(t.Context(), s.Instance); err != nil || len(found) != 0 {
		t.Errorf("found %q, %v, want nothing", found, err)
	}
}

func TestRuntime_StopsWhatAKilledStartLeftBehind(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.HookTimeout = 300 * time.Millisecond
	s.script("start", `touch "$ROOT/up"; echo half way; sleep 600`)
	begin := time.Now()
	_, err := s.rt.Start(t.Context(), s.Instance)
	s.wantErr(err, `hook "start" (./start.sh)`, "timeout of 300ms", "half way", "hook_timeout")
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := os.Stat(s.file("up")); !os.IsNotExist(err) {
		t.Errorf("it was not stopped: %v", err)
	}
}

func TestRuntime_RefusesToStartWhatItCanNotTellOf(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.script("status", "echo 'pgrep: not found' >&2; exit 127")
	_, err := s.rt.Start(t.Context(), s.Instance)
	s.wantErr(err, "exit status 127", "pgrep: not found")
	if _, err := os.Stat(s.file("up")); !os.IsNotExist(err) {
		t.Errorf("it was not stopped: %v", err)
	}
	if found, err := s.rt.Find(t.Context(), s.Instance); err != nil || len(found) != 0 {
		t.Errorf("found %q, %v, want nothing", found, err)
	}
}

func TestRuntime_DoesNotBelieveAStopThatStoppedNothing(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.script("stop", "exit 0")
	h := s.start()
	s.wantErr(s.rt.Stop(t.Context(), h, s.Instance), `"status" says that it runs`, "by hand")
	s.wantStatus(h, true, "")
}

func TestRuntime_StopIsGivenItsGraceBesideTheTimeout(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.HookTimeout, s.StopGrace = 500*time.Millisecond, 500*time.Millisecond
	s.script("stop", `sleep 0.6; rm "$ROOT/up"`)
	h := s.start()
	s.must(s.rt.Stop(t.Context(), h, s.Instance))

	h = s.start()
	s.script("stop", "echo waits for the last client; sleep 600")
	s.wantErr(s.rt.Stop(t.Context(), h, s.Instance), "timeout of 1s", "waits for the last client")
	s.wantStatus(h, true, "")
}

func TestRuntime_StopsAnOldVersionByItsOwnScripts(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.script("stop", `echo "stopped by $SWITCHD_VERSION" >>"$ROOT/stops"; rm "$ROOT/up"`)
	h := s.start()
	next := s.Instance
	next.Version, next.Dir, next.Hooks = "2.0.0", t.TempDir(), nil
	for _, name := range []string{"start", "stop", "status"} {
		write(t, &next, name, "exit 1\n")
	}
	found, err := s.rt.Find(t.Context(), next)
	if err != nil || len(found) != 1 || found[0] != h {
		t.Fatalf("found %q, %v, want %q", found, err, h)
	}
	s.must(s.rt.Stop(t.Context(), h, next))
	if got := s.read(s.file("stops")); got != "stopped by 1.4.2\n" {
		t.Errorf("stops: %q", got)
	}
}

func TestRuntime_FindsAStartThatWasNotNoted(t *testing.T) {
	t.Parallel()
	s := newService(t)
	// The scripts tell the runtime's end in the middle of a start from none.
	notes := filepath.Join(filepath.Dir(s.LogFile), "web-blue.exec.json")
	s.script("start", fmt.Sprintf(`touch "$ROOT/up"; cp %s "$ROOT/before"; echo printed`, notes))
	s.start()
	s.must(os.Rename(s.file("before"), notes))
	found, err := newRuntime(t).Find(t.Context(), s.Instance)
	s.must(err)
	if len(found) != 1 {
		t.Fatalf("found %q", found)
	}
	s.wantStatus(found[0], true, "")
	s.must(s.rt.Stop(t.Context(), found[0], s.Instance))
}

func TestRuntime_ForgetsWhatWasStoppedOrReplaced(t *testing.T) {
	t.Parallel()
	s := newService(t)
	h := s.start()
	s.must(s.rt.Stop(t.Context(), h, s.Instance))
	s.must(os.WriteFile(s.file("up"), nil, 0o600))
	s.wantStatus(h, false, "stopped")
	again := s.start()
	if again == h {
		t.Error("two starts gave the same handle")
	}
	s.wantStatus(h, false, "replaced")
	s.wantStatus(again, true, "")
}

func TestRuntime_CleanupLeavesAloneWhatRuns(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.script("cleanup", `touch "$ROOT/cleaned"`)
	h := s.start()
	s.must(s.rt.Cleanup(t.Context(), s.Instance))
	if _, err := os.Stat(s.file("cleaned")); !os.IsNotExist(err) {
		t.Errorf("what runs was cleaned up: %v", err)
	}
	s.must(s.rt.Stop(t.Context(), h, s.Instance))
	s.must(s.rt.Cleanup(t.Context(), s.Instance))
	if _, err := os.Stat(s.file("cleaned")); err != nil {
		t.Error(err)
	}
	s.must(os.RemoveAll(s.Dir))
	s.must(s.rt.Cleanup(t.Context(), s.Instance))
	if left, err := filepath.Glob(filepath.Dir(s.LogFile) + "/*.json*"); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

func TestRuntime_WaitOutlivesAStatusThatCanNotBeTold(t *testing.T) {
	t.Parallel()
	s := newService(t)
	h := s.start()
	s.script("status", `[ -e "$ROOT/up" ] || exit 3; echo asked >>"$ROOT/asked"; exit 9`)
	ended := make(chan error, 1)
	go func() { ended <- s.rt.Wait(t.Context(), h) }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for asked := ""; strings.Count(asked, "\n") < 3; {
		select {
		case err := <-ended:
			t.Fatalf("wait ended: %v", err)
		case <-ctx.Done():
			t.Fatal("the script was not asked again")
		case <-tick.C:
		}
		text, _ := os.ReadFile(s.file("asked")) // Not there yet.
		asked = string(text)
	}
	s.must(os.Remove(s.file("up")))
	s.must(<-ended)
}

func TestRuntime_StageRefusesWhatCannotBeStarted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(*service)
		want    []string
	}{
		"no status":           {func(s *service) { delete(s.Hooks, "status") }, []string{`"status" is missing`}},
		"a script not packed": {func(s *service) { s.must(os.Remove(s.Dir + "/stop.sh")) }, []string{`hook "stop"`, "stop.sh: no such file", "packed"}},
		"a script of others":  {func(s *service) { s.Hooks["stop"] = []string{"../stop.sh"} }, []string{"../stop.sh leads out of the release"}},
		"a script not to run": {func(s *service) { s.must(os.Chmod(s.Dir+"/start.sh", 0o600)) }, []string{"not executable (mode 0600)"}},
		"a user":              {func(s *service) { s.User = "nobody" }, []string{"setpriv"}},
		"limits":              {func(s *service) { s.Limits = map[string]uint64{"nofile": 1} }, []string{"ulimit"}},
		"its own verdict":     {func(s *service) { s.script("stage", "echo 'database 7 is missing' >&2; exit 1") }, []string{"database 7 is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t)
			s.must(s.rt.Stage(t.Context(), s.Instance))
			test.prepare(s)
			s.wantErr(s.rt.Stage(t.Context(), s.Instance), append(test.want, "stage "+s.ID+" 1.4.2")...)
		})
	}
}

func TestRuntime_DoesNotGuessFromNotesThatWereSpoilt(t *testing.T) {
	t.Parallel()
	s := newService(t)
	h := s.start()
	notes := filepath.Join(filepath.Dir(s.LogFile), "web-blue.exec.json")
	if info, err := os.Stat(notes); err != nil || info.Mode() != 0o600 {
		t.Errorf("the notes have mode %v, %v", info.Mode(), err)
	}
	s.must(os.WriteFile(notes, []byte(`{"runs":[{`), 0o600))
	_, err := s.rt.Status(t.Context(), h)
	s.wantErr(err, notes, "by hand", "remove the file")
	_, err = s.rt.Start(t.Context(), s.Instance)
	s.wantErr(err, notes)
	s.must(os.Remove(notes))
	s.start()
}
