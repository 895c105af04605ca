package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHandle_ReadsBackWhatItWrote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := identity{
			pid:   rapid.IntRange(2, 1<<31-1).Draw(t, "pid"),
			start: rapid.Uint64().Draw(t, "start"),
			boot:  rapid.StringMatching(`[0-9a-f-]{1,36}`).Draw(t, "boot"),
		}
		got, err := parseHandle(want.handle())
		if err != nil || got != want {
			t.Fatalf("%q reads back as %+v, %v", want.handle(), got, err)
		}
	})
}

func FuzzParseHandle(f *testing.F) {
	for _, seed := range []string{"pid:2:3:4", "pid:1:2:3", "pid:-1:0:x", "pid:99999999999:0:x", "pid:2:3:4:5", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseHandle(Handle(text))
		if err != nil {
			return
		}
		if id.pid <= 1 {
			t.Errorf("%q gave pid %d", text, id.pid)
		}
		if again, err := parseHandle(id.handle()); err != nil || again != id {
			t.Errorf("%q: %+v reads back as %+v, %v", text, id, again, err)
		}
	})
}

func TestParseStat_IsNotFooledByNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := stat{
			pid:     rapid.IntRange(1, 1<<22).Draw(t, "pid"),
			state:   rapid.SampledFrom([]byte("RSDZTtXI")).Draw(t, "state"),
			session: rapid.IntRange(0, 1<<22).Draw(t, "session"),
			threads: rapid.IntRange(0, 1000).Draw(t, "threads"),
			start:   rapid.Uint64().Draw(t, "start"),
		}
		name := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`[() RZ0-9\n]{0,15}`),
		).Draw(t, "name")
		text := fmt.Sprintf("%d (%s) %c 1 2 %d 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 %d 0 %d 1 2 3\n",
			want.pid, name, want.state, want.session, want.threads, want.start)
		got, err := parseStat([]byte(text))
		if err != nil || got != want {
			t.Fatalf("%q reads as %+v, %v, want %+v", text, got, err, want)
		}
	})
}

func FuzzParseStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(own), "1 (a) b) R 0", "", ")(", "1 (", "x (a) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := parseStat(text); err == nil && s.state == 0 {
			t.Errorf("%q has no state", text)
		}
	})
}

func TestReadStat_KnowsItself(t *testing.T) {
	t.Parallel()
	s, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if s.pid != os.Getpid() || s.ended() || s.threads < 1 || s.start == 0 {
		t.Errorf("own status is %+v", s)
	}
}

func TestStat_MainThreadThatEndedFirstIsNoEnd(t *testing.T) {
	t.Parallel()
	if (stat{state: 'Z', threads: 3}).ended() {
		t.Error("a zombie with threads left counts as ended")
	}
	if !(stat{state: 'Z', threads: 1}).ended() || !(stat{state: 'X'}).ended() {
		t.Error("a zombie or a dead process counts as alive")
	}
}

// Both ways to wait must agree; the kernel under test has only one of them.
func TestAwait_SeesTheEndAndTheContext(t *testing.T) {
	t.Parallel()
	for name, await := range map[string]func(context.Context, int, uint64) error{"pidfd": await, "polling": awaitByPolling} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), "cat")
			stdin, err := child.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			s, err := readStat(child.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
			defer cancel()
			if err := await(ctx, s.pid, s.start); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("while it runs: %v", err)
			}
			if err := stdin.Close(); err != nil {
				t.Fatal(err)
			}
			// It is a zombie until the Wait below.
			if err := await(t.Context(), s.pid, s.start); err != nil {
				t.Errorf("at its end: %v", err)
			}
			if err := child.Wait(); err != nil {
				t.Fatal(err)
			}
			if err := await(t.Context(), s.pid, s.start); err != nil {
				t.Errorf("after its end: %v", err)
			}
		})
	}
}

func TestEnvironment_InstanceCannotForgeItsIdentity(t *testing.T) {
	t.Parallel()
	env := environment(Instance{ID: "web-blue", Version: "1", Env: map[string]string{instanceVar: "other", "PATH": "/opt/bin"}})
	got := strings.Join(env, " ")
	if want := "LANG=C.UTF-8 PATH=/opt/bin SWITCHD_INSTANCE=web-blue SWITCHD_VERSION=1"; got != want {
		t.Errorf("environment is %q, want %q", got, want)
	}
}
