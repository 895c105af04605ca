package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"switchd/consul"
	"switchd/rollout"
	"switchd/spec"
)

// Eligible reads what is known of a service in the environment before this one.
// It is nil where releases need not have been in another one.
func (l *Ledger) Eligible(ctx context.Context, service string) (*rollout.Eligibility, error) {
	env, err := l.Environment(ctx)
	if errors.Is(err, ErrUnknownEnvironment) {
		return nil, nil //nolint:nilnil // its desired state has only services, which need no other environment
	}
	if err != nil || env.After == nil {
		return nil, err
	}
	entry, err := l.Consul.Get(ctx, l.Keys.Eligible(service))
	if err != nil {
		return nil, err
	}
	contact, err := l.Contact(ctx)
	if err != nil {
		return nil, err
	}
	return EligibleFrom(entry, *env.After, service, contact), nil
}

// EligibleFrom is what a key holds of a service, as the spec asks now. What is
// about another environment than that, or can't be read, is not known. Nobody is
// eligible as long as the contact can't be read.
func EligibleFrom(entry consul.Entry, after spec.Upstream, service string, contact rollout.Contact) *rollout.Eligibility {
	e, err := rollout.ParseEligibility(entry.Value, entry.Index)
	if err != nil || e == nil || e.Upstream != after.Environment || e.Service != service {
		e = &rollout.Eligibility{Upstream: after.Environment, Service: service, Index: entry.Index}
	}
	e.For = after.For
	if contact.Upstream == after.Environment || contact.Unreadable() {
		e.Contact = contact
	}
	return e
}

// Contact reads how the driving replica gets on with reading the environment
// before this one, as ContactFrom does.
func (l *Ledger) Contact(ctx context.Context) (rollout.Contact, error) {
	entry, err := l.Consul.Get(ctx, l.Keys.Upstream())
	return ContactFrom(entry), err
}

// ContactFrom is what a key holds of how the environment before this one is read.
// One that can't be parsed is of no environment, and its Error says why: it must
// keep nobody from a rollback, and the driving replica writes it over.
func ContactFrom(entry consul.Entry) rollout.Contact {
	if entry.Index == 0 {
		return rollout.Contact{}
	}
	var contact rollout.Contact
	if err := parse(entry, &contact); err != nil {
		return rollout.Contact{Error: err.Error() + "; the replica that drives writes it anew"}
	}
	return contact
}

// KeepEligible writes what was read of services in the environment before this
// one, each by compare-and-set, under the driver's lease. One without a version
// and without a time is removed. Those that can't be written in one transaction
// are written in several.
func (l *Ledger) KeepEligible(ctx context.Context, fence Fence, found ...rollout.Eligibility) error {
	for len(found) > 0 {
		batch := found[:min(len(found), consul.MaxOps-1)]
		found = found[len(batch):]
		ops := make([]consul.Op, 0, len(batch))
		for _, e := range batch {
			key := l.Keys.Eligible(e.Service)
			if e.Version == "" && e.Seen.IsZero() {
				ops = append(ops, consul.DeleteCAS(key, e.Index))
				continue
			}
			e.Contact = rollout.Contact{} // which has a key of its own
			value, err := json.Marshal(e)
			if err != nil {
				return fmt.Errorf("write what is eligible: %w", err)
			}
			ops = append(ops, consul.CAS(key, value, e.Index))
		}
		if err := l.fenced(ctx, fence, "write what is eligible", ops...); err != nil {
			return err
		}
	}
	return nil
}

// KeepContact writes how reading the environment before this one goes, under the
// driver's lease.
func (l *Ledger) KeepContact(ctx context.Context, fence Fence, contact rollout.Contact) error {
	op, err := l.sayOp(ctx, l.Keys.Upstream(), contact)
	if err != nil {
		return err
	}
	return l.fenced(ctx, fence, "write how the other environment is read", op)
}
