package rolling_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"switchd/rolling"
	"switchd/runner"
	"switchd/runner/process"
	"switchd/spec"
)

func TestReadJournal_NamesTheFileThatIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := rolling.ReadJournal(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "journal.json")) {
		t.Errorf("got %v, want an error that names the journal", err)
	}
}

func TestStates_TellWhatEachUnitDoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	journal, err := rolling.OpenJournal(dir, "n1")
	must(t, err)
	must(t, journal.SetUnit("web-blue", rolling.Unit{
		Name: "web", Pool: spec.Blue,
		Service: spec.Service{Runtime: spec.Runtime{Kind: spec.RuntimeProcess}},
		Running: &rolling.Run{Version: "1", Handle: "pid:99999999:1:another-boot"},
		Move:    &rolling.Move{To: rolling.Run{Version: "2"}, Step: rolling.Proving},
		Refused: &rolling.Refusal{Reason: "r1", Why: "it was sick"},
	}))
	must(t, journal.SetUnit("web-green", rolling.Unit{Name: "web", Pool: spec.Green}))
	read, err := rolling.ReadJournal(dir)
	must(t, err)
	states := rolling.States(t.Context(), read, map[string]runner.Runtime{spec.RuntimeProcess: process.New(nil, slog.New(slog.DiscardHandler))})
	want := rolling.State{Version: "1", Process: "not running (pid 99999999 is gone)", Next: "2 (proving)", Note: "refused r1: it was sick"}
	if len(states) != 2 || states["web-blue"] != want || states["web-green"] != (rolling.State{}) {
		t.Errorf("got %+v, want web-blue %+v and an empty web-green", states, want)
	}
}
