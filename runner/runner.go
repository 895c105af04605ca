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
	StopSignal string            // such as "SIGTERM", which is meant when empty
	StopGrace  time.Duration     // from StopSignal to SIGKILL
}

// Handle identifies something started, across restarts of the agent and of
// the machine. It is text, so that a journal can keep it.
type Handle string

// Runtime runs instances. What it started outlives the process that started
// it. Implementations are safe for concurrent use.
type Runtime interface {
	// Start runs the instance and returns when it has been started, not when
	// it is healthy. The end of ctx does not end the instance.
	Start(ctx context.Context, inst Instance) (Handle, error)
	// Find returns what runs under an instance's ID, whoever started it, so
	// that nothing is lost when the agent dies between Start and the note of
	// its handle.
	Find(ctx context.Context, id string) ([]Handle, error)
	// Stop ends it: its stop signal, then the grace, then a kill, and
	// returns when it is gone. To stop what is already gone is no error.
	Stop(ctx context.Context, h Handle, inst Instance) error
	// Running tells whether it still runs; never true for another process
	// that happens to have the same number.
	Running(ctx context.Context, h Handle) (bool, error)
	// Wait returns nil when it has ended, or ctx's error.
	Wait(ctx context.Context, h Handle) error
}
