// Package environ makes the environments of what is run for an instance.
package environ

import (
	"maps"
	"slices"

	"switchd/runner"
)

// The variables by which what runs knows itself; nothing can replace them.
const (
	Instance = "SWITCHD_INSTANCE"
	Version  = "SWITCHD_VERSION"
	Dir      = "SWITCHD_DIR"
	Log      = "SWITCHD_LOG"
)

// Path is where programs are, unless an instance says otherwise. It is the
// same on every node, whatever the agent's own PATH is.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Lang is the locale, unless an instance says otherwise.
const Lang = "C.UTF-8"

// Minimal returns what everything has that gets nothing of an image or a unit.
func Minimal() map[string]string {
	return map[string]string{"PATH": Path, "LANG": Lang}
}

// Identity returns the instance and the version.
func Identity(inst runner.Instance) map[string]string {
	return map[string]string{Instance: inst.ID, Version: inst.Version}
}

// PathOf returns the PATH of an instance.
func PathOf(inst runner.Instance) string {
	if path, ok := inst.Env["PATH"]; ok {
		return path
	}
	return Path
}

// Merge returns all variables; a later layer goes over the ones before.
func Merge(layers ...map[string]string) map[string]string {
	vars := make(map[string]string)
	for _, layer := range layers {
		maps.Copy(vars, layer)
	}
	return vars
}

// List returns the merged layers as name=value, sorted by name.
func List(layers ...map[string]string) []string {
	vars := Merge(layers...)
	env := make([]string, 0, len(vars))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, name+"="+vars[name])
	}
	return env
}
