// Package driver is what the engine acts through: the ledger's records under
// the driver's lease, and the gates with the addresses that they need.
package driver

import (
	"context"
	"log/slog"

	"switchd/dnsflip/tsig"
	"switchd/dnsproof"
	"switchd/gate"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/spec"
)

// World is the real world of one environment, for as long as the fence holds.
type World struct {
	*ledger.Ledger

	Fence ledger.Fence
	Log   *slog.Logger
	// TSIG are the keys by which zones of others take updates; nil: none.
	TSIG *tsig.Ring
	// NameServers is where the name servers of zones are found.
	NameServers dnsproof.Directory
	// GateCommands is the directory of the programs that gates may run; empty:
	// they may run none.
	GateCommands string
	// Notices is what people are told with; nil: nobody is told.
	Notices *Notices
	// Upstream is how the environment before this one is read; nil: it isn't.
	Upstream *Upstream
	// Metrics may be nil.
	Metrics *Metrics

	nameTroubles troubles // of names in zones of others
	meshTroubles troubles
}

var _ rollout.World = (*World)(nil)

// Commit writes the change under the lease.
func (w *World) Commit(ctx context.Context, change *rollout.Change) error {
	return w.Ledger.Commit(ctx, w.Fence, change)
}

// Run does one job.
func (w *World) Run(ctx context.Context, job rollout.Job, s rollout.Situation, report func(gate.Verdict)) gate.Verdict {
	progress := func(line string) { report(gate.Undecided("%s", line)) }
	switch job.Kind {
	case rollout.JobSmoke:
		return w.smoke(ctx, s)
	case rollout.JobWarmup:
		return w.warmup(ctx, s, progress)
	case rollout.JobAnalysis:
		return w.analysis(ctx, s, report)
	case rollout.JobArmed:
		return w.armed(ctx, s)
	case rollout.JobProof:
		return w.proof(ctx, s)
	case rollout.JobDrain:
		return w.drain(ctx, s, progress)
	case rollout.JobGate:
		return w.gate(ctx, job, s, report)
	case rollout.JobShare:
		return w.share(ctx, s, report)
	default:
		return gate.Undecided("this version of switchd knows no job %q", job.Kind)
	}
}

// vars are the variables of a text that is about one of the pools.
func vars(s rollout.Situation, pool string) spec.Vars {
	version := s.Record.Version
	if pool != s.Record.Pool {
		version = s.Record.From.Version
	}
	return spec.Vars{Service: s.Spec.Name, Pool: pool, Other: spec.Other(pool), Version: version}
}
