// Package runner starts and stops what a release runs on a node, behind one
// interface that every kind of runtime implements.
package runner

import (
	"context"
	"time"
)

// Instance is one release to be run on this node.
type Instance struct {
	ID         string // unique on the node, such as "web-blue"
	Version    string
	Dir        string            // the unpacked release
	LogFile    string            // where its output goes; created 0600
	Command    []string          // a relative Command[0] with a slash starts at Dir
	Env        map[string]string // added to a minimal environment
	User       string            // to run as: user or user:group; empty is the agent's
	Limits     map[string]uint64 // resource limits (setrlimit(2)): "nofile", "memlock", "nproc", "core", "as"
	StopSignal string            // such as "SIGTERM", which is meant when empty
	StopGrace  time.Duration     // from StopSignal to SIGKILL
	// Settings are what only one kind of runtime understands, by its own
	// names, such as "image" or "link".
	Settings map[string]string
	// Hooks are commands that only one kind of runtime runs, by its own names,
	// such as "reload"; HookTimeout bounds each run.
	Hooks       map[string][]string
	HookTimeout time.Duration
}

// Handle identifies something started, across restarts of the agent and of
// the machine. It is text, so that a journal can keep it.
type Handle string

// Status is what a runtime knows of something that it started.
type Status struct {
	// Running tells whether it is there; also while the runtime itself starts
	// it again after it has ended.
	Running bool
	// Restarts counts how often the runtime started it again by itself.
	Restarts int
	// Why says, for people, how it ended last, or what is wrong with it.
	Why string
}

// Runtime runs instances. What it started outlives the process that started
// it. Implementations are safe for concurrent use, and runnertest.Conform
// passes for each.
type Runtime interface {
	// Stage makes ready what Start needs, and finds out what would keep it from
	// starting, without touching what runs. To stage again is cheap.
	Stage(ctx context.Context, inst Instance) error
	// Start runs the instance and returns when it has been started, not when
	// it is healthy. The end of ctx does not end the instance.
	Start(ctx context.Context, inst Instance) (Handle, error)
	// Find returns what runs under an instance's ID, whichever version that
	// is and whoever started it, so that nothing is lost when the agent dies
	// between Start and the note of its handle.
	Find(ctx context.Context, inst Instance) ([]Handle, error)
	// Status tells how it is; never Running for something else that happens
	// to have the same number or name.
	Status(ctx context.Context, h Handle) (Status, error)
	// Stop ends it: its stop signal, then the grace, then a kill, and
	// returns when it is gone. To stop what is already gone is no error.
	Stop(ctx context.Context, h Handle, inst Instance) error
	// Wait returns nil when it has ended, or ctx's error.
	Wait(ctx context.Context, h Handle) error
	// Cleanup removes what Stage and Start left behind for a version that is
	// not to be run again; Dir itself is the caller's. What runs is no part of
	// it. To clean up again is no error.
	Cleanup(ctx context.Context, inst Instance) error
}
