package main

import (
	"log/slog"
	"os"

	"switchd/pagecache"
	"switchd/runner"
	"switchd/runner/docker"
	"switchd/runner/process"
	"switchd/runner/script"
	"switchd/runner/static"
	"switchd/runner/systemd"
	"switchd/spec"
)

// runtimes are those that this agent has, by the kind that a spec names. One
// more is one line here, and its name in package spec.
func runtimes(log *slog.Logger) map[string]runner.Runtime {
	return map[string]runner.Runtime{
		spec.RuntimeProcess: process.New([]string{"/proc/self/exe", "shim"}, log),
		spec.RuntimeSystemd: systemd.New(systemd.Config{}, log),
		spec.RuntimeDocker:  docker.New(log),
		spec.RuntimeStatic:  static.New(log),
		spec.RuntimeExec:    script.New(log),
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

// pinCmd holds files in memory for as long as it runs.
type pinCmd struct{}

// Run locks what its stdin names, until it is asked to end.
func (c *pinCmd) Run(a *app) error { return pagecache.PinMain(a.ctx, os.Stdin, a.stdout) }
