package hook

import (
	"switchd/runner"
	"switchd/runner/environ"
)

// Environment returns the whole environment of an instance's hooks, sorted: a
// minimal one, what the instance adds, and what switchd tells, which nothing
// can replace. extra is told too, by its full names.
func Environment(inst runner.Instance, extra map[string]string) []string {
	return environ.List(environ.Minimal(), inst.Env, environ.Identity(inst), map[string]string{environ.Dir: inst.Dir, environ.Log: inst.LogFile}, extra)
}
