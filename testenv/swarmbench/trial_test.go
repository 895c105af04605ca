//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The star starts this program again, which here is the test's.
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "get") {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// small is a scenario of about a second.
func small(t *testing.T, c contender) trial {
	t.Helper()
	s := scenario{nodes: 2, size: 2 << 20, rate: 40e6}
	p, err := newPayload(t.Context(), t.TempDir(), s.size)
	if err != nil {
		t.Fatal(err)
	}
	return trial{scenario: s, contender: c, payload: p, floor: time.Second / 2}
}

func newTestStar(t *testing.T) star {
	t.Helper()
	h, err := newStar()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestTrial_MeasuresAStar(t *testing.T) {
	t.Parallel()
	test := small(t, newTestStar(t))
	dir := t.TempDir()
	o, err := test.run(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	// Two copies through one link of 40 Mbit/s, but for what a bucket holds.
	least := time.Duration(2 * float64(test.size-128<<10) * 8 / float64(test.rate) * float64(time.Second))
	if o.last < least || o.last > 10*least {
		t.Errorf("the last node took %s, want a bit more than %s", o.last, least)
	}
	if copies := float64(o.sent) / float64(test.size); copies < 2 || copies > 2.3 {
		t.Errorf("the seed sent %.2f × the file, want a bit more than 2", copies)
	}
	if o.seedCPU <= 0 || o.nodeCPU <= 0 || o.seedPeak < 1<<20 || o.maxPeak < 1<<20 || o.busy <= 0 || o.busy > 1 {
		t.Errorf("got %+v, want each to be measured", o)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
}

// liar is a star with one node that has nothing.
type liar struct{ star }

func (l liar) node(s *stage, i int) (args []string, file string) {
	args, file = l.star.node(s, i)
	if i == 1 {
		return []string{"sh", "-c", `head -c "$1" /dev/zero >"$2"; echo done; exec sleep 1000`, "sh", fmt.Sprint(int64(s.payload.size)), file}, file
	}
	return args, file
}

func TestTrial_FindsAWrongCopy(t *testing.T) {
	t.Parallel()
	_, err := small(t, liar{newTestStar(t)}).run(t.Context(), t.TempDir())
	if !errors.Is(err, errWrongSum) || !strings.Contains(err.Error(), "node1") {
		t.Errorf("got %v, want a wrong checksum of node1", err)
	}
}

// broken is a star with nodes that end at once.
type broken struct{ star }

func (broken) node(*stage, int) (args []string, file string) {
	return []string{"sh", "-c", "echo no way >&2; exit 3"}, ""
}

func TestTrial_TellsWhatANodeSaidAtItsEnd(t *testing.T) {
	t.Parallel()
	_, err := small(t, broken{newTestStar(t)}).run(t.Context(), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "exit status 3\nno way") {
		t.Errorf("got %v, want the exit status and the last line", err)
	}
}

// silent is a star with nodes that do nothing, and don't want to end.
type silent struct{ star }

func (silent) node(*stage, int) (args []string, file string) {
	return []string{"sleep", "1000"}, ""
}

func TestTrial_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 4*time.Second, errors.New("enough"))
	defer cancel()
	dir := t.TempDir()
	_, err := small(t, silent{newTestStar(t)}).run(ctx, dir)
	if err == nil || ctx.Err() == nil {
		t.Errorf("got %v before the context ended", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
}

func TestPayload_VerifyNoticesOneBit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, err := newPayload(t.Context(), dir, 3<<20+7)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.verify(p.path); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(p.path)
	if err != nil || len(text) != 3<<20+7 {
		t.Fatalf("it has %d bytes (%v)", len(text), err)
	}
	text[1<<20] ^= 1
	flipped := filepath.Join(dir, "flipped")
	if err := os.WriteFile(flipped, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.verify(flipped); !errors.Is(err, errWrongSum) {
		t.Errorf("got %v, want %v", err, errWrongSum)
	}
}

func TestFlags_GiveEachCaseItsValues(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		want []scenario
		err  string
	}{
		{nil, []scenario{{8, 64 << 20, 50e6}, {16, 24 << 20, 12e6}, {32, 10 << 20, 3e6}}, ""},
		{[]string{"--nodes=4,5", "--size=1MiB", "--rate=1mbit,2mbit"}, []scenario{{4, 1 << 20, 1e6}, {5, 1 << 20, 2e6}}, ""},
		{[]string{"--nodes=4", "--size=1MiB,2MiB", "--rate=1mbit"}, nil, "--size has 2 values for 1 cases"},
		{[]string{"--nodes=0", "--size=1MiB", "--rate=1mbit"}, nil, "--nodes cannot be 0"},
		{[]string{"--runs=0"}, nil, "--runs cannot be 0"},
	} {
		var c commands
		parser, err := kong.New(&c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(test.args); err != nil {
			t.Fatalf("%v: %v", test.args, err)
		}
		got, err := c.Bench.scenarios()
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v: got %v, want an error with %q", test.args, err, test.err)
			}
			continue
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%v: got %v (%v), want %v", test.args, got, err, test.want)
		}
	}
}
