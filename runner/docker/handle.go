package docker

import (
	"encoding/hex"
	"fmt"
	"strings"

	"switchd/runner"
)

const handleScheme = "container"

// identity is one container of one engine.
type identity struct {
	id     string // the engine's own, of 64 hexadecimal digits
	socket string
}

// handle writes the identity as container:<id>@<socket>.
func (i identity) handle() runner.Handle {
	return runner.Handle(handleScheme + ":" + i.id + "@" + i.socket)
}

func parseHandle(h runner.Handle) (identity, error) {
	text, isContainer := strings.CutPrefix(string(h), handleScheme+":")
	id, socket, ok := strings.Cut(text, "@")
	if !isContainer || !ok || socket == "" {
		return identity{}, fmt.Errorf("handle %q is not one of a container: want container:<id>@<socket>", h)
	}
	if digest, err := hex.DecodeString(id); err != nil || len(digest) != 32 {
		return identity{}, fmt.Errorf("handle %q: the container's ID is not of 64 hexadecimal digits", h)
	}
	return identity{id: id, socket: socket}, nil
}
