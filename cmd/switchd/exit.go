package main

import (
	"context"
	"errors"
	"fmt"

	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rollout"
)

// The exit statuses. They are part of the interface: scripts tell outcomes
// apart by them.
const (
	statusOK          = 0   // it is done
	statusError       = 1   // anything else
	statusUsage       = 2   // the command line
	statusInput       = 3   // an input file is wrong
	statusUnreachable = 4   // Consul does not answer
	statusDenied      = 5   // an ACL right is missing
	statusUnknown     = 6   // the service, version or environment does not exist
	statusBusy        = 7   // another rollout runs
	statusUnhealthy   = 8   // the pool can't serve
	statusNothing     = 9   // there is nothing to do
	statusFailed      = 10  // the rollout failed
	statusHalted      = 11  // the rollout is halted
	statusRolledBack  = 12  // the rollout was rolled back
	statusForbidden   = 13  // the spec or a policy does not allow it
	statusInterrupted = 130 // the command was interrupted
)

// outcomeError is a rollout that ended in another way than it was to, or that
// was not followed to its end.
type outcomeError struct {
	status int
	text   string
}

func (e *outcomeError) Error() string { return e.text }

func statusOf(err error) int {
	if o, ok := errors.AsType[*outcomeError](err); ok {
		return o.status
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return statusUsage
	}
	if _, ok := errors.AsType[*inputError](err); ok {
		return statusInput
	}
	if r, ok := errors.AsType[*rollout.Refusal](err); ok {
		switch r.Reason {
		case rollout.UnknownVersion, rollout.UnknownGate:
			return statusUnknown
		case rollout.Forbidden, rollout.NotApprover, rollout.NotEligible:
			return statusForbidden
		case rollout.Busy:
			return statusBusy
		case rollout.Unhealthy:
			return statusUnhealthy
		case rollout.AlreadyLive, rollout.NothingToDo:
			return statusNothing
		}
	}
	if _, ok := errors.AsType[*pools.EmptyError](err); ok {
		return statusUnhealthy
	}
	switch {
	case errors.Is(err, consul.ErrDenied):
		return statusDenied
	case errors.Is(err, consul.ErrUnreachable):
		return statusUnreachable
	case errors.Is(err, ledger.ErrUnknownService), errors.Is(err, ledger.ErrUnknownRelease), errors.Is(err, ledger.ErrUnknownEnvironment), errors.Is(err, ledger.ErrUnknownTrain):
		return statusUnknown
	case errors.Is(err, context.Canceled):
		return statusInterrupted
	}
	return statusError
}

// explain is the sentence for a person: the thing, the cause, and the way out.
func (a *app) explain(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, consul.ErrDenied):
		return fmt.Sprintf("%v\nNothing was changed. Name a token that has this right in CONSUL_HTTP_TOKEN or with --token-file.", err)
	case errors.Is(err, consul.ErrUnreachable):
		return fmt.Sprintf("%v\nConsul is asked at %s. Is its agent up, and is CONSUL_HTTP_ADDR (or --http-addr) right?", err, a.consul.Addr())
	case errors.Is(err, ledger.ErrUnknownService):
		return err.Error() + "; `switchd status` lists the services, `switchd apply DIR` adds them"
	case errors.Is(err, ledger.ErrUnknownTrain):
		return err.Error() + "; `switchd status` shows the last ones"
	case errors.Is(err, ledger.ErrUnknownEnvironment):
		return err.Error() + "; `switchd apply DIR` makes it"
	}
	return err.Error()
}
