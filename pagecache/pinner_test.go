package pagecache_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchd/pagecache"
)

func newPinner(t *testing.T) *pagecache.Pinner {
	t.Helper()
	return pagecache.NewPinner(pinCommand(), slog.New(slog.DiscardHandler))
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got error %v; want %q in it", err, part)
		}
	}
}

// stop ends a pin process also when the test has failed, and waits until this
// process, if it is its parent, has reaped it.
func stop(t *testing.T, p *pagecache.Pinner, h pagecache.Handle) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	if err := p.Stop(ctx, h); err != nil {
		t.Error(err)
	}
	if alive, err := p.Alive(h); err != nil || alive {
		t.Errorf("stopped: alive is %v, %v", alive, err)
	}
}

func wantFound(t *testing.T, p *pagecache.Pinner, id string, want ...pagecache.Handle) {
	t.Helper()
	got, err := p.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	found := map[pagecache.Handle]bool{}
	for _, h := range got {
		found[h] = true
	}
	for _, h := range want {
		if !found[h] {
			t.Errorf("%s is not found in %v", h, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

func TestPinner_KeepsFilesInMemoryUntilStopped(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	dir := diskDir(t)
	path, empty := filepath.Join(dir, "index"), filepath.Join(dir, "empty")
	writeFile(t, path, 10*page)
	writeFile(t, empty, 0)
	p, id := newPinner(t), t.Name()

	former, err := p.Start(deadline(t), id, []string{path, empty})
	if err != nil {
		t.Fatal(err)
	}
	wantFound(t, p, id, former)
	evict(t, path)
	wantResident(t, path, 10)

	// A hand-over: at no time unlocked.
	latter, err := p.Start(deadline(t), id, []string{path})
	if err != nil {
		t.Fatal(err)
	}
	wantFound(t, p, id, former, latter)
	stop(t, p, former)
	evict(t, path)
	wantResident(t, path, 10)

	stop(t, p, latter)
	wantFound(t, p, id)
	evict(t, path)
	wantResident(t, path, 0)
	stop(t, p, latter) // What is gone already.
}

func TestPinner_SurvivesAFileThatShrinks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(diskDir(t), "index")
	writeFile(t, path, 1<<20)
	p := newPinner(t)
	h, err := p.Start(deadline(t), t.Name(), []string{path})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, p, h)
	if err := os.Truncate(path, 1); err != nil {
		t.Fatal(err)
	}
	if alive, err := p.Alive(h); err != nil || !alive {
		t.Errorf("alive is %v, %v", alive, err)
	}
}

func TestPinner_PinOutlivesItsAgent(t *testing.T) {
	t.Parallel()
	path := filepath.Join(diskDir(t), "index")
	writeFile(t, path, os.Getpagesize())
	agent := powerless(act(deadline(t), asAgent, t.Name(), path))
	h := firstLine(t, agent)
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait() // It was killed.

	p := newPinner(t)
	found, err := p.Find(t.Context(), t.Name())
	if err != nil || len(found) != 1 || string(found[0]) != h {
		t.Fatalf("found %v, %v; want %s", found, err, h)
	}
	evict(t, path)
	wantResident(t, path, 1)
	stop(t, p, found[0])
}

// firstLine starts a command and returns its first line.
func firstLine(t *testing.T, cmd interface {
	StdinPipe() (io.WriteCloser, error)
	StdoutPipe() (io.ReadCloser, error)
	Start() error
}) string {
	t.Helper()
	_, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func TestPinner_SaysWhatIsNotAllowed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(diskDir(t), "index")
	writeFile(t, path, 2*memlock)
	agent := powerless(act(deadline(t), asAgent, t.Name(), path))
	var stderr bytes.Buffer
	agent.Stderr = &stderr
	if err := agent.Run(); err == nil {
		t.Error("it was locked")
	}
	wantError(t, errors.New(stderr.String()), t.Name(), path, "131072 bytes", "RLIMIT_MEMLOCK is 65536 bytes",
		"LimitMEMLOCK=infinity", "AmbientCapabilities=CAP_IPC_LOCK")
	wantFound(t, newPinner(t), t.Name())
}

func TestPinner_LeavesNoProcessBehindAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(diskDir(t), "index")
	writeFile(t, path, 1)
	missing := path + ".missing"
	_, err := newPinner(t).Start(deadline(t), t.Name(), []string{path, missing})
	wantError(t, err, t.Name(), missing, "no such file")

	silent := pagecache.NewPinner([]string{"/bin/sleep", "60"}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := silent.Start(ctx, t.Name(), []string{path}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent process: got %v", err)
	}
	mute := pagecache.NewPinner([]string{"/bin/echo", "locked"}, slog.New(slog.DiscardHandler))
	_, err = mute.Start(deadline(t), t.Name(), []string{path})
	wantError(t, err, "the pin process failed: locked")
	absent := pagecache.NewPinner([]string{missing}, slog.New(slog.DiscardHandler))
	if _, err := absent.Start(deadline(t), t.Name(), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: got %v", err)
	}
	wantFound(t, newPinner(t), t.Name())
}

func TestPinner_TellsAnotherProcessOfTheSameNumber(t *testing.T) {
	t.Parallel()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	p := newPinner(t)
	for _, h := range []string{
		fmt.Sprintf("pin:%d:1:%s", os.Getpid(), strings.TrimSpace(string(boot))), // It started later.
		fmt.Sprintf("pin:%d:1:another-boot", os.Getpid()),
	} {
		stop(t, p, pagecache.Handle(h)) // Or the test ends here.
	}
}

func FuzzPinner_RefusesStrangeHandles(f *testing.F) {
	for _, seed := range []string{"", "pin:1:2:x", "pin:-5:2:x", "pin:5:2:", "pin:99999999999:2:x", "pid:5:2:x", "pin:5:x:x", "pin:5:2:x:y"} {
		f.Add(seed)
	}
	p := pagecache.NewPinner(pinCommand(), slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, text string) {
		alive, err := p.Alive(pagecache.Handle(text))
		if alive {
			t.Errorf("%q is alive", text)
		}
		if err == nil && strings.Count(text, ":") != 3 {
			t.Errorf("%q is a handle", text)
		}
	})
}

func FuzzPinMain_LocksOrSaysWhyNot(f *testing.F) {
	path := filepath.Join(f.TempDir(), "index")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "{}", `{"files":["` + path + `"]}`, `{"files":["/"]}`, `{"files":["/dev/zero"]}`, `{"files":[""]}`, "[", "{}{}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, config string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // It unlocks again at once.
		var answer bytes.Buffer
		err := pagecache.PinMain(ctx, strings.NewReader(config), &answer)
		if locked := strings.HasPrefix(answer.String(), "locked "); locked != (err == nil) {
			t.Errorf("answered %q with error %v", &answer, err)
		}
	})
}
