package static

import (
	"fmt"

	"switchd/runner"
	"switchd/runner/record"
)

// handle says where to look for one start: the link, what it should lead to,
// and where the start is noted, under which name.
type handle struct{ link, dir, state, run string }

// text writes a handle as static:dir=…&link=…&run=…&state=….
func (h handle) text() runner.Handle {
	return record.Handle(kind, map[string]string{"link": h.link, "dir": h.dir, "state": h.state, "run": h.run})
}

func parseHandle(h runner.Handle) (handle, error) {
	fields, err := record.ParseHandle(kind, h, "link", "dir", "state", "run")
	if err != nil {
		return handle{}, err
	}
	parsed := handle{link: fields["link"], dir: fields["dir"], state: fields["state"], run: fields["run"]}
	switch {
	case !absolute(parsed.link) || !absolute(parsed.dir) || !absolute(parsed.state):
		return handle{}, fmt.Errorf("handle %q: want absolute paths as link, dir and state", h)
	case parsed.run == "":
		return handle{}, fmt.Errorf("handle %q: want a run", h)
	}
	return parsed, nil
}
