package static

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"switchd/runner/record"
)

// kind is the name of this kind of runtime, in handles and file names.
const kind = "static"

// state is what is noted of one instance. Its readers ignore what they don't
// know, so that agents of other versions can be put beside it.
type state struct {
	Runs []run `json:"runs"`
}

// run is one start of a release.
type run struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Link    string `json:"link"`
	Dir     string `json:"dir"`
	Phase   phase  `json:"phase"`
}

// phase is how far a run is.
type phase string

const (
	starting phase = "starting" // noted before the link is changed
	started  phase = "started"  // noted after the reload
	stopped  phase = "stopped"
)

// leads tells whether the run's link leads to its release.
func (r run) leads() (bool, error) {
	target, err := targetOf(r.Link)
	return target == r.Dir, err
}

// begin notes a run that is to be started. Another one of the same release
// gives way to it; one of another release stays until the link has changed.
func (s *state) begin(next run) {
	s.drop(func(other run) bool { return other.Link == next.Link && other.Dir == next.Dir })
	s.Runs = append(s.Runs, next)
}

// started notes that the link was changed and reloaded: nothing else that was
// behind the link runs.
func (s *state) started(id string) {
	i := slices.IndexFunc(s.Runs, func(r run) bool { return r.ID == id })
	if i < 0 {
		return
	}
	s.Runs[i].Phase = started
	link := s.Runs[i].Link
	s.drop(func(other run) bool { return other.Link == link && other.ID != id })
}

// stop notes a run as stopped, and tells whether that was new.
func (s *state) stop(id string) bool {
	i := slices.IndexFunc(s.Runs, func(r run) bool { return r.ID == id })
	if i < 0 || s.Runs[i].Phase == stopped {
		return false
	}
	s.Runs[i].Phase = stopped
	return true
}

func (s *state) drop(which func(run) bool) {
	s.Runs = slices.DeleteFunc(s.Runs, which)
}

func (s *state) find(id string) (run, bool) {
	i := slices.IndexFunc(s.Runs, func(r run) bool { return r.ID == id })
	if i < 0 {
		return run{}, false
	}
	return s.Runs[i], true
}

// corruptError is of notes that can't be understood.
type corruptError struct {
	path string
	err  error
}

func (e *corruptError) Error() string { return fmt.Sprintf("read the notes in %s: %v", e.path, e.err) }
func (e *corruptError) Unwrap() error { return e.err }

// readState reads the notes; none are no error.
func readState(path string) (*state, error) {
	text, err := record.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &state{}, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := parseState(text)
	if err != nil {
		return nil, &corruptError{path: path, err: err}
	}
	return s, nil
}

func parseState(text []byte) (*state, error) {
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	ids := make(map[string]bool, len(s.Runs))
	for i, r := range s.Runs {
		switch {
		case r.ID == "" || ids[r.ID]:
			return nil, fmt.Errorf("runs[%d]: id %q is empty or not the only one", i, r.ID)
		case !absolute(r.Link) || !absolute(r.Dir):
			return nil, fmt.Errorf("runs[%d]: link %q or dir %q is no absolute path", i, r.Link, r.Dir)
		case r.Phase != starting && r.Phase != started && r.Phase != stopped:
			return nil, fmt.Errorf("runs[%d]: there is no phase %q", i, r.Phase)
		}
		ids[r.ID] = true
	}
	return &s, nil
}
