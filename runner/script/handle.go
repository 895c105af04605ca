package script

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"switchd/runner"
)

// handle says where one start is noted, under which name, and for people which
// version that was and what its start script printed.
type handle struct{ notes, run, version, printed string }

func (r run) handle(notes string) handle {
	return handle{notes: notes, run: r.ID, version: r.Version, printed: r.Printed}
}

// text writes a handle as exec:notes=…&printed=…&run=…&version=…, with the
// values escaped as in a URL's query, in this order.
func (h handle) text() runner.Handle {
	values := url.Values{"notes": {h.notes}, "run": {h.run}, "version": {h.version}, "printed": {h.printed}}
	return runner.Handle(kind + ":" + values.Encode())
}

func parseHandle(h runner.Handle) (handle, error) {
	wrong := func(why string) (handle, error) {
		return handle{}, fmt.Errorf("handle %q is not one of a runtime of scripts: %s", h, why)
	}
	query, ok := strings.CutPrefix(string(h), kind+":")
	if !ok {
		return wrong("it does not begin with " + kind + ":")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return wrong(err.Error())
	}
	parsed := handle{notes: values.Get("notes"), run: values.Get("run"), version: values.Get("version"), printed: values.Get("printed")}
	switch {
	case !filepath.IsAbs(parsed.notes):
		return wrong("want an absolute path as notes")
	case parsed.run == "":
		return wrong("want a run")
	case parsed.text() != h:
		return wrong("want notes, printed, run and version once each, and nothing else")
	}
	return parsed, nil
}
