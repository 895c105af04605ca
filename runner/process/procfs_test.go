package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseStat_IsNotFooledByNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := stat{
			pid:     rapid.IntRange(1, 1<<22).Draw(t, "pid"),
			state:   rapid.SampledFrom([]byte("RSDZTtXI")).Draw(t, "state"),
			parent:  rapid.IntRange(0, 1<<22).Draw(t, "parent"),
			session: rapid.IntRange(0, 1<<22).Draw(t, "session"),
			threads: rapid.IntRange(0, 1000).Draw(t, "threads"),
			start:   rapid.Uint64().Draw(t, "start"),
		}
		name := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`[() RZ0-9\n]{0,15}`),
		).Draw(t, "name")
		text := fmt.Sprintf("%d (%s) %c %d 2 %d 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 %d 0 %d 1 2 3\n",
			want.pid, name, want.state, want.parent, want.session, want.threads, want.start)
		got, err := parseStat([]byte(text))
		if err != nil || got != want {
			t.Fatalf("%q reads as %+v, %v, want %+v", text, got, err, want)
		}
	})
}

func FuzzParseStat(f *testing.F) {
	const fields = " 2 3 4 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 13 0 14 1 2 3\n"
	for _, seed := range []string{
		"1 (cat) R" + fields, "1 (a) b) Z" + fields, "1 (a) \x00" + fields, "1 (a) \xff" + fields, "1 (a) R 0", "", ")(", "1 (",
		"x (a) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseStat(text)
		if err != nil {
			return
		}
		again := fmt.Sprintf("%d () %c %d 2 %d 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 %d 0 %d", s.pid, s.state, s.parent, s.session, s.threads, s.start)
		if back, err := parseStat([]byte(again)); err != nil || back != s || s.state < 'A' {
			t.Errorf("%q reads as %+v, which reads back as %+v, %v", text, s, back, err)
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
