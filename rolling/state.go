package rolling

import (
	"context"
	"fmt"
	"path/filepath"

	"switchd/runner"
)

// State is what a unit is doing, for people.
type State struct {
	Version string `json:"version,omitempty"` // the last good one
	Process string `json:"process,omitempty"` // its handle, or "not running"
	Next    string `json:"next,omitempty"`    // the replacement under way
	Note    string `json:"note,omitempty"`    // a version that failed here
}

// ReadJournal reads the journal of a data directory without changing it.
func ReadJournal(dir string) (*Journal, error) {
	path := filepath.Join(dir, "journal.json")
	state, err := readJournal(path)
	if err != nil {
		return nil, fmt.Errorf("read the agent's journal %s: %w", path, err)
	}
	return &Journal{path: path, state: state}, nil
}

// States tells the state of all units, by their ID.
func States(ctx context.Context, journal *Journal, runtime runner.Runtime) (map[string]State, error) {
	states := make(map[string]State)
	for id, u := range journal.Units() {
		var s State
		if u.Running != nil {
			s.Version, s.Process = u.Running.Version, "not running"
			alive, err := runtime.Running(ctx, u.Running.Handle)
			if err != nil {
				return nil, fmt.Errorf("look after %s: %w", id, err)
			}
			if alive {
				s.Process = string(u.Running.Handle)
			}
		}
		if u.Move != nil {
			s.Next = fmt.Sprintf("%s (%s)", u.Move.To.Version, u.Move.Step)
		}
		if u.Refused != nil {
			s.Note = fmt.Sprintf("refused %s: %s", u.Refused.Reason, u.Refused.Why)
		}
		states[id] = s
	}
	return states, nil
}
