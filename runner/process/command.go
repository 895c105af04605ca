package process

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"switchd/runner"
	"switchd/runner/environ"
	"switchd/runner/program"
)

// What the processes of an instance have in their environments beside what it
// is itself.
const (
	shimVar   = "SWITCHD_SHIM"        // the mark of the service's shim
	socketVar = "SWITCHD_SHIM_SOCKET" // of a shim: where it listens
)

// environment returns the environment of an instance; the shim adds its mark.
func environment(inst runner.Instance, as account) []string {
	own := maps.Clone(inst.Env)
	delete(own, shimVar)
	delete(own, socketVar)
	return environ.List(environ.Minimal(), as.env, own, environ.Identity(inst))
}

// executable returns the absolute path of the instance's program.
func executable(inst runner.Instance) (string, error) {
	dir, err := filepath.Abs(inst.Dir)
	if err != nil {
		return "", fmt.Errorf("find the release: %w", err)
	}
	if info, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("find the release: %w", err)
	} else if !info.IsDir() {
		return "", fmt.Errorf("find the release: %s is no directory", dir)
	}
	return program.Find(inst.Command, dir, environ.PathOf(inst))
}
