package rolling

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/runner"
	"switchd/spec"
)

// fullJournal is a journal in which everything is set.
func fullJournal() journalState {
	service := spec.Service{Name: "web", Port: 8080, Health: spec.Health{Path: "/healthz"}, Roll: spec.Roll{Quorum: spec.Nodes(2)}}
	return journalState{Node: "n1", Session: "0b3c7c55-9b2a-4a0c-8f3a-5a6b1c2d3e4f", Units: map[string]Unit{"web-blue": {
		Name: "web", Pool: spec.Blue, Service: service, Refused: &Refusal{Reason: "r1", Why: "it \"broke\"\n"},
		Running: &Run{Version: "1", Release: "aa", Dir: "/releases/aa", Handle: "pid:10:20:boot"},
		Move:    &Move{Reason: "r2", Service: service, To: Run{Version: "2"}, Slot: "slots/web/blue/0", Step: Proving, Deadline: time.Unix(1e9, 0).UTC()},
	}}}
}

func TestJournal_SetsATornFileAsideAndBeginsAnew(t *testing.T) {
	t.Parallel()
	whole := encode(t, fullJournal())
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.json")
	check := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(dir, "n1")
		if err == nil || j == nil {
			t.Fatalf("%q: got %v, %v, want an empty journal and an error", text, j, err)
		}
		for _, part := range []string{path, path + ".corrupt", "begun anew"} {
			if !strings.Contains(err.Error(), part) {
				t.Fatalf("%q: error %q does not say %q", text, err, part)
			}
		}
		if kept, err := os.ReadFile(path + ".corrupt"); err != nil || !bytes.Equal(kept, text) {
			t.Fatalf("%q: kept %q, %v", text, kept, err)
		}
		if len(j.Units()) != 0 || j.Session() != "" {
			t.Fatalf("%q: the new journal is not empty", text)
		}
	}
	for n := range whole {
		check(whole[:n])
	}
	for _, garbage := range []string{"null", "[]", "{}", `{"node":7}`, `{"node":"n1","units":[]}`, "\x00\x00\x00", string(whole) + "}", strings.Repeat(" ", maxJournal+1)} {
		check([]byte(garbage))
	}
	j, _ := OpenJournal(dir, "n1")
	if err := j.SetSession("s"); err != nil {
		t.Fatal(err)
	}
	if j, err := OpenJournal(dir, "n1"); err != nil || j.Session() != "s" {
		t.Errorf("begun anew: got session %q, %v", j.Session(), err)
	}
}

func TestJournal_IsRefusedByAnotherNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := encode(t, fullJournal())
	if err := os.WriteFile(filepath.Join(dir, "journal.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := OpenJournal(dir, "n2")
	if j != nil || err == nil || !strings.Contains(err.Error(), `"n1"`) || !strings.Contains(err.Error(), `"n2"`) {
		t.Errorf("got %v, %v, want an error that names both", j, err)
	}
	if kept, err := os.ReadFile(filepath.Join(dir, "journal.json")); err != nil || !bytes.Equal(kept, text) {
		t.Errorf("the other node's journal is now %q, %v", kept, err)
	}
}

func drawRun(t *rapid.T, label string) *Run {
	text := rapid.String()
	if rapid.Bool().Draw(t, "no "+label) {
		return nil
	}
	return &Run{Version: text.Draw(t, "version"), Release: text.Draw(t, "release"), Dir: text.Draw(t, "dir"), Handle: runner.Handle(text.Draw(t, "handle"))}
}

func drawUnit(t *rapid.T) Unit {
	service := spec.Service{Name: rapid.String().Draw(t, "service"), Port: rapid.IntRange(0, 65535).Draw(t, "port")}
	u := Unit{Name: service.Name, Pool: rapid.String().Draw(t, "pool"), Service: service, Running: drawRun(t, "running")}
	if to := drawRun(t, "move"); to != nil {
		u.Move = &Move{
			Reason: rapid.String().Draw(t, "reason"), Service: service, To: *to, Slot: rapid.String().Draw(t, "slot"),
			Step:     rapid.SampledFrom([]Step{Stopping, Starting, Proving, Restoring}).Draw(t, "step"),
			Deadline: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "deadline"), 0).UTC(),
		}
	}
	if rapid.Bool().Draw(t, "refused") {
		u.Refused = &Refusal{Reason: rapid.String().Draw(t, "reason"), Why: rapid.String().Draw(t, "why")}
	}
	return u
}

func TestJournal_ReadsWhatItWrote(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		if err := os.Remove(filepath.Join(dir, "journal.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		j, err := OpenJournal(dir, "n1")
		if err != nil {
			t.Fatal(err)
		}
		want := make(map[string]Unit)
		for range rapid.IntRange(1, 3).Draw(t, "writes") {
			id := rapid.SampledFrom([]string{"web-blue", "web-green"}).Draw(t, "id")
			want[id] = drawUnit(t)
			if err := j.SetUnit(id, want[id]); err != nil {
				t.Fatal(err)
			}
			again, err := OpenJournal(dir, "n1")
			if err != nil {
				t.Fatal(err)
			}
			if got := again.Units(); !reflect.DeepEqual(got, want) {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		}
	})
}

// TestJournal_IsWholeAtAnyMoment reads while it is written: whoever is killed
// in between leaves the old file or the new one.
func TestJournal_IsWholeAtAnyMoment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, err := OpenJournal(dir, "n1")
	if err != nil {
		t.Fatal(err)
	}
	if err := j.SetUnit("web-blue", Unit{}); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for _, id := range []string{"web-blue", "web-green"} {
		work.Go(func() {
			for n := range 50 {
				if err := j.SetUnit(id, Unit{Pool: strings.Repeat("x", n*1000)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { work.Wait(); close(written) }()
	for reading := true; reading; {
		select {
		case <-written:
			reading = false
		default:
		}
		if _, err := ReadJournal(dir); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("left over: %v, %v", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

func FuzzParseJournal(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"node":"n1"}`, `{"node":"n1","units":{"web-blue":{"pool":"blue","move":{"step":"proving"}}}}`, `{"node":"n1","units":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		state, err := parseJournal(text)
		if err != nil {
			return
		}
		again, err := parseJournal(encode(t, state))
		if err != nil {
			t.Fatalf("written again, it can't be read: %v", err)
		}
		if !bytes.Equal(encode(t, again), encode(t, state)) {
			t.Errorf("got %+v, want %+v", again, state)
		}
		if again.Node == "" || again.Units == nil {
			t.Errorf("incomplete: %+v", again)
		}
	})
}
