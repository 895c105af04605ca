package hook

import (
	"fmt"
	"strings"

	"switchd/runner/program"
)

// program returns the absolute path of the hook's program.
func (h Hook) program() (string, error) {
	path, err := program.Find(h.Command, h.Dir, h.path())
	if err != nil {
		return "", fmt.Errorf("hook %q: %w", h.Name, err)
	}
	return path, nil
}

// path is the PATH of the hook's own environment.
func (h Hook) path() string {
	for _, entry := range h.Env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			return value
		}
	}
	return ""
}
