package waitfor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"switchd/gate"
	"switchd/spec"
	"switchd/waitfor"
)

// commands is a directory of gate commands.
func commands(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return dir
}

// install puts a shell script there.
func install(t *testing.T, dir, name, script string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// running is a wait for a command that is tried often.
func running(dir string, command ...string) waitfor.Wait {
	return waitfor.Wait{
		For:      spec.WaitFor{Name: "migrated", Command: command, Every: spec.Duration(20 * time.Millisecond), Timeout: spec.Duration(10 * time.Second)},
		Vars:     spec.Vars{Service: "web", Pool: "green", Version: "2.0.0"},
		Env:      "prod",
		Rollout:  "r1",
		Commands: dir,
	}
}

func TestWatch_RunsACommandUntilItPassesAndOn(t *testing.T) {
	t.Parallel()
	dir := commands(t)
	install(t, dir, "migrated", `printf '\n'; cat "$1/state"; exec test -e "$1/done"`, 0o700)
	state := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "new"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "state")); err != nil {
			t.Fatal(err)
		}
	}
	state("schema 6\nschema 7 of {{version}}\n\n")
	r := watch(t, running(dir, "migrated", dir, "$HOME; exit 0"))
	r.next(t, gate.Unknown, "migrated runs for the first time, for 10s at most")
	r.next(t, gate.Unknown, `migrated exited with status 1: "schema 7 of {{version}}"`)
	state("")
	r.next(t, gate.Unknown, `migrated exited with status 1, and said nothing`)
	if err := os.WriteFile(filepath.Join(dir, "done"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.next(t, gate.Pass, "migrated exited with status 0, and said nothing")
	if err := os.Remove(filepath.Join(dir, "done")); err != nil {
		t.Fatal(err)
	}
	r.next(t, gate.Unknown, "migrated exited with status 1, and said nothing")
}

// TestWatch_TellsACommandWhatItNeedsAndNoMore has a command that shows all that it
// was given.
func TestWatch_TellsACommandWhatItNeedsAndNoMore(t *testing.T) {
	t.Setenv("CONSUL_HTTP_TOKEN", "hunter2")
	dir := commands(t)
	out := filepath.Join(t.TempDir(), "out")
	install(t, dir, "show", `{ printf '%s\n' "$@"; pwd; cat; tr '\0' '\n' </proc/$$/environ | sort; } >"$1.new"; mv "$1.new" "$1"`, 0o755)
	watch(t, running(dir, "show", out, "to {{version}}", "$(id)")).await(t, gate.Pass, "show exited with status 0")
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		out, "to 2.0.0", "$(id)", dir,
		"LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"SWITCHD_ENV=prod", "SWITCHD_POOL=green", "SWITCHD_ROLLOUT=r1", "SWITCHD_SERVICE=web", "SWITCHD_VERSION=2.0.0", "",
	}
	if string(got) != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestWatch_KillsACommandWithAllThatItStartedAtItsTimeout(t *testing.T) {
	t.Parallel()
	dir := commands(t)
	file := filepath.Join(dir, "pid")
	install(t, dir, "stuck", `sleep 1000 & echo $! >`+file+`; echo waits for a lock; wait`, 0o700)
	w := running(dir, "stuck")
	w.For.Timeout, w.For.Every = spec.Duration(300*time.Millisecond), spec.Duration(time.Hour)
	watch(t, w).await(t, gate.Unknown, `stuck was killed, as it had not ended after 300ms: "waits for a lock"`)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); runs(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d, which it started, still runs", pid)
		}
	}
}

// runs tells whether a process is there and not only waits to be reaped, which
// whoever inherits it may never do.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, fields, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(fields, "Z") && syscall.Kill(pid, 0) == nil
}

func TestWatch_SaysHowACommandEnded(t *testing.T) {
	t.Parallel()
	dir := commands(t)
	install(t, dir, "status", "echo no >&2; exit 75", 0o700)
	install(t, dir, "chatty", "yes | head -c 3000000; printf '%3000s' x; exit 1", 0o700)
	install(t, dir, "signalled", "kill -SEGV $$", 0o700)
	if err := os.WriteFile(filepath.Join(dir, "garbage"), []byte{0x7f, 'E', 'L', 'F'}, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"status":    `status exited with status 75: "no"`,
		"chatty":    `chatty exited with status 1: "`,
		"signalled": "signalled was ended by somebody (signal: segmentation fault",
		"garbage":   "garbage can't be run: fork/exec: exec format error",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if v := watch(t, running(dir, name)).await(t, gate.Unknown, want); len(v.Why) > 500 {
				t.Errorf("it says %d bytes", len(v.Why))
			}
		})
	}
}

func TestWatch_RunsOnlyProgramsOfTheDirectory(t *testing.T) {
	t.Parallel()
	dir := commands(t)
	install(t, dir, "plain", "exit 0", 0o600)
	install(t, dir, "open", "exit 0", 0o777)
	install(t, dir, "group", "exit 0", 0o770)
	install(t, dir, "real", "exit 0", 0o700)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link": "/bin/true", "lost": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	watch(t, running(dir, "real")).await(t, gate.Pass, "real exited with status 0")
	for name, want := range map[string]string{
		"/bin/true":    `command "/bin/true": it must be the name of a program in ` + dir + ", without a directory",
		"./real":       "it must be the name of a program in",
		"folder/..":    "it must be the name of a program in",
		"..":           "it must be the name of a program in",
		".":            "it must be the name of a program in",
		"true":         `there is no program "true" in ` + dir + "; install it on every replica",
		"{{service}}":  `there is no program "{{service}}" in`,
		"plain":        "/plain is not executable (mode 0600); chmod 755 it",
		"open":         "/open may be written by others (mode 0777); chmod go-w it",
		"group":        "/group may be written by others (mode 0770); chmod go-w it",
		"folder":       "/folder is no file but a directory; put the program itself there",
		"link":         "/link is no file but a symbolic link; put the program itself there",
		"lost":         "/lost is no file but a symbolic link; put the program itself there",
		"real\x00/etc": "it must be the name of a program in",
	} {
		watch(t, running(dir, name)).await(t, gate.Unknown, want)
	}
	watch(t, running("", "real")).next(t, gate.Unknown, `this replica runs no commands, and so not "real": start it with serve --gate-commands DIRECTORY`)
	watch(t, waitfor.Wait{For: spec.WaitFor{Name: "empty"}}).next(t, gate.Unknown, `wait "empty" says neither key, service, url nor command`)
}

func TestCheckCommands_WantsADirectoryThatNobodyElseCanChange(t *testing.T) {
	t.Parallel()
	top := commands(t)
	dir := filepath.Join(top, "above", "gates")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(top, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	set := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	check := func(dir, want string) {
		t.Helper()
		err := waitfor.CheckCommands(dir)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", dir, err, want)
		}
	}
	check(dir, "")
	check(dir+"/", "")
	check("gates", `directory of gate commands "gates": it must be absolute`)
	check(filepath.Join(top, "none"), "no such file or directory")
	check(filepath.Join(top, "file"), "it is none")
	check(filepath.Join(top, "link"), "it leads through a symbolic link; say where to: "+dir)
	set(dir, 0o770)
	check(dir, dir+" may be written by others (mode 0770); chmod go-w it")
	set(dir, 0o700)
	set(filepath.Dir(dir), 0o777)
	check(dir, "directory of gate commands "+dir+": above it, "+filepath.Dir(dir)+" may be written by others (mode 0777)")
	set(filepath.Dir(dir), 0o777|os.ModeSticky)
	check(dir, "")
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, 65534, -1); err != nil {
			t.Fatal(err)
		}
		check(dir, dir+" belongs to another user than root and the replica's own (0); chown it")
	}
}
