package rolling

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

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
func States(ctx context.Context, journal *Journal, runtimes map[string]runner.Runtime) map[string]State {
	states := make(map[string]State)
	for id, u := range journal.Units() {
		var s State
		if u.Running != nil {
			s.Version = u.Running.Version
			s.Process = processOf(ctx, u, runtimes[u.Service.Runtime.Kind])
		}
		if u.Move != nil {
			s.Next = fmt.Sprintf("%s (%s)", u.Move.To.Version, u.Move.Step)
			if u.Move.Leave {
				s.Next = fmt.Sprintf("leaves the pool (%s)", u.Move.Step)
			}
		}
		if u.Waits != "" {
			s.Note = u.Waits
		}
		if u.Refused != nil {
			s.Note = fmt.Sprintf("refused %s: %s", u.Refused.Reason, u.Refused.Why)
		}
		states[id] = s
	}
	return states
}

// processOf is what runs, for people.
func processOf(ctx context.Context, u Unit, rt runner.Runtime) string {
	if rt == nil {
		return fmt.Sprintf("no runtime %q here", u.Service.Runtime.Kind)
	}
	if u.Running.Handle == "" {
		return "not running"
	}
	status, err := rt.Status(ctx, u.Running.Handle)
	text := "not running"
	switch {
	case err != nil:
		return "unknown: " + err.Error()
	case status.Running:
		text = short(string(u.Running.Handle))
	}
	if status.Restarts > 0 {
		text += fmt.Sprintf(", restarted %d times", status.Restarts)
	}
	if status.Why != "" {
		text += " (" + status.Why + ")"
	}
	return text
}

// short cuts what identifies a process for all time down to what tells it apart
// now: its kind and its number or name.
func short(handle string) string {
	kind, rest, _ := strings.Cut(handle, ":")
	name, _, _ := strings.Cut(rest, ":")
	const most = 60
	if text := kind + ":" + name; len(text) <= most {
		return text
	}
	return handle[:most] + "…"
}
