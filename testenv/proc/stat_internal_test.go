//go:build linux

package proc

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseStat_ReadsBackAnyName(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := process{
			identity: identity{pid: rapid.IntRange(1, 1<<22).Draw(t, "pid"), start: rapid.Uint64().Draw(t, "start")},
			name:     rapid.StringMatching(`[ -~]{0,15}`).Draw(t, "name"),
			state:    rapid.SampledFrom([]byte("RSDZTtXI")).Draw(t, "state"),
			parent:   rapid.IntRange(0, 1<<22).Draw(t, "parent"),
		}
		line := fmt.Sprintf("%d (%s) %c %d%s %d 0 0\n", want.pid, want.name, want.state, want.parent, strings.Repeat(" 0", 17), want.start)
		got, err := parseStat(line)
		if err != nil || got != want {
			t.Fatalf("%q: got %+v (%v), want %+v", line, got, err, want)
		}
	})
}

func TestReadProcess_KnowsItself(t *testing.T) {
	t.Parallel()
	p, err := readProcess(os.Getpid())
	if err != nil || p.pid != os.Getpid() || p.parent != os.Getppid() {
		t.Errorf("got %+v (%v), want process %d with parent %d", p, err, os.Getpid(), os.Getppid())
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 100 200")
	f.Add("7 (x")
	f.Add(") (")
	f.Fuzz(func(t *testing.T, line string) {
		p, err := parseStat(line)
		if err == nil && !strings.Contains(line, "("+p.name+")") {
			t.Errorf("%q: the name %q isn't in it", line, p.name)
		}
	})
}
