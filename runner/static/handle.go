package static

import (
	"fmt"
	"net/url"
	"strings"

	"switchd/runner"
)

// handle says where to look for one start: the link, what it should lead to,
// and where the start is noted, under which name.
type handle struct{ link, dir, state, run string }

// text writes a handle as static:dir=…&link=…&run=…&state=…, with the values
// escaped as in a URL's query, in this order.
func (h handle) text() runner.Handle {
	values := url.Values{"link": {h.link}, "dir": {h.dir}, "state": {h.state}, "run": {h.run}}
	return runner.Handle(kind + ":" + values.Encode())
}

func parseHandle(h runner.Handle) (handle, error) {
	wrong := func(why string) (handle, error) {
		return handle{}, fmt.Errorf("handle %q is not one of a static runtime: %s", h, why)
	}
	query, ok := strings.CutPrefix(string(h), kind+":")
	if !ok {
		return wrong("it does not begin with " + kind + ":")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return wrong(err.Error())
	}
	parsed := handle{link: values.Get("link"), dir: values.Get("dir"), state: values.Get("state"), run: values.Get("run")}
	switch {
	case !absolute(parsed.link) || !absolute(parsed.dir) || !absolute(parsed.state):
		return wrong("want absolute paths as link, dir and state")
	case parsed.run == "":
		return wrong("want a run")
	case parsed.text() != h:
		return wrong("want link, dir, state and run once each, and nothing else")
	}
	return parsed, nil
}
