package script

import (
	"fmt"
	"path/filepath"

	"switchd/runner"
	"switchd/runner/record"
)

// handle says where one start is noted, under which name, and for people which
// version that was and what its start script printed.
type handle struct{ notes, run, version, printed string }

func (r run) handle(notes string) handle {
	return handle{notes: notes, run: r.ID, version: r.Version, printed: r.Printed}
}

// text writes a handle as exec:notes=…&printed=…&run=…&version=….
func (h handle) text() runner.Handle {
	return record.Handle(kind, map[string]string{"notes": h.notes, "run": h.run, "version": h.version, "printed": h.printed})
}

func parseHandle(h runner.Handle) (handle, error) {
	fields, err := record.ParseHandle(kind, h, "notes", "run", "version", "printed")
	if err != nil {
		return handle{}, err
	}
	parsed := handle{notes: fields["notes"], run: fields["run"], version: fields["version"], printed: fields["printed"]}
	switch {
	case !filepath.IsAbs(parsed.notes):
		return handle{}, fmt.Errorf("handle %q: want an absolute path as notes", h)
	case parsed.run == "":
		return handle{}, fmt.Errorf("handle %q: want a run", h)
	}
	return parsed, nil
}
