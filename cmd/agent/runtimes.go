package main

import (
	"log/slog"
	"os"

	"switchd/runner"
	"switchd/runner/process"
	"switchd/spec"
)

// runtimes are those that this agent has, by the kind that a spec names. One
// more is one line here, and its name in package spec.
func runtimes(log *slog.Logger) map[string]runner.Runtime {
	return map[string]runner.Runtime{
		spec.RuntimeProcess: process.New([]string{"/proc/self/exe", "shim"}, log),
	}
}

// shimCmd is what runs between the agent and a service of kind "process".
type shimCmd struct{}

// Run supervises one process and ends with its exit status.
func (c *shimCmd) Run(a *app) error {
	if status := process.Shim(a.ctx); status != 0 {
		os.Exit(status)
	}
	return nil
}
