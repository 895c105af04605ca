package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"switchd/runner"
	"switchd/runner/hook"
	"switchd/runner/record"
)

// kind is the name of this kind of runtime, in handles and file names.
const kind = "exec"

// maxRuns is how many versions are remembered, the youngest.
const maxRuns = 32

// notes are what was started of one instance. Their readers ignore what they
// don't know, so that agents of other versions can be put beside them.
type notes struct {
	Runs []run `json:"runs"` // at most one a version
}

// phase is how far a run is.
type phase string

const (
	starting phase = "starting" // noted before the start script is run
	started  phase = "started"
	stopped  phase = "stopped"
)

// begin notes a run that is to be started. A former start of the same version
// gives way to it.
func (n *notes) begin(next run) {
	n.Runs = slices.DeleteFunc(n.Runs, func(r run) bool { return r.Version == next.Version })
	n.Runs = append(n.Runs, next)
	if over := len(n.Runs) - maxRuns; over > 0 {
		n.Runs = slices.Delete(n.Runs, 0, over)
	}
}

func (n *notes) index(id string) int {
	return slices.IndexFunc(n.Runs, func(r run) bool { return r.ID == id })
}

// started notes that a start script was successful, with what it printed.
func (n *notes) started(done run) {
	if i := n.index(done.ID); i >= 0 {
		done.Phase = started
		n.Runs[i] = done
	}
}

func (n *notes) stopped(id string) {
	if i := n.index(id); i >= 0 {
		n.Runs[i].Phase = stopped
	}
}

func (n *notes) drop(id string) {
	n.Runs = slices.DeleteFunc(n.Runs, func(r run) bool { return r.ID == id })
}

func (n *notes) find(id string) (run, bool) {
	if i := n.index(id); i >= 0 {
		return n.Runs[i], true
	}
	return run{}, false
}

func (n *notes) version(version string) (run, bool) {
	if i := slices.IndexFunc(n.Runs, func(r run) bool { return r.Version == version }); i >= 0 {
		return n.Runs[i], true
	}
	return run{}, false
}

func pathOf(inst runner.Instance) (string, error) {
	return record.Path(inst.LogFile, kind)
}

// readNotes reads the notes; none are no error. Without ones that can be
// understood nobody can say what runs, so that is for a person to decide.
func readNotes(path string) (*notes, error) {
	text, err := record.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &notes{}, nil
	}
	if err != nil {
		return nil, err
	}
	n, err := parseNotes(text)
	if err != nil {
		return nil, fmt.Errorf("read the notes in %s: %w; end what it runs by hand and remove the file", path, err)
	}
	return n, nil
}

func parseNotes(text []byte) (*notes, error) {
	var n notes
	if err := json.Unmarshal(text, &n); err != nil {
		return nil, err
	}
	ids, versions := make(map[string]bool), make(map[string]bool)
	for i, r := range n.Runs {
		switch {
		case r.ID == "" || ids[r.ID]:
			return nil, fmt.Errorf("runs[%d]: id %q is empty or not the only one", i, r.ID)
		case versions[r.Version]:
			return nil, fmt.Errorf("runs[%d]: there is version %q before", i, r.Version)
		case !filepath.IsAbs(r.Dir) || !filepath.IsAbs(r.LogFile):
			return nil, fmt.Errorf("runs[%d]: dir %q or log %q is no absolute path", i, r.Dir, r.LogFile)
		case len(r.Printed) > hook.MaxLine:
			return nil, fmt.Errorf("runs[%d]: what start printed has more than %d bytes", i, hook.MaxLine)
		case r.Phase != starting && r.Phase != started && r.Phase != stopped:
			return nil, fmt.Errorf("runs[%d]: there is no phase %q", i, r.Phase)
		}
		if err := r.complete(); err != nil {
			return nil, fmt.Errorf("runs[%d]: %w", i, err)
		}
		ids[r.ID], versions[r.Version] = true, true
	}
	return &n, nil
}
