package rollout

import (
	"encoding/json"
	"fmt"
	"slices"

	"switchd/pools"
	"switchd/spec"
)

// Order is all that the agents of a service's nodes need to know of its
// rollout and its live record: one small key a service, so that thousands of
// agents can watch it. It is derived from the two records and written along
// with them. It speaks of what is to be done and not of phases, so that agents
// need not know those of another version of switchd.
type Order struct {
	// Rollout is the rollout in flight, to which reports go; empty: none.
	Rollout string `json:"rollout,omitempty"`
	Version string `json:"version,omitempty"` // of the rollout
	// Stage are the pools whose nodes fetch the version, Roll those whose nodes
	// run it, too, when their turn comes.
	Stage []string `json:"stage,omitempty"`
	Roll  []string `json:"roll,omitempty"`
	// Keep is what a pool is to run although it is not live: the former one,
	// until the bake has ended.
	Keep pools.Side `json:"keep,omitzero"`
	// Live is what users reach; Users are all pools with a share of them.
	Live       pools.Side `json:"live,omitzero"`
	Generation uint64     `json:"generation,omitempty"`
	Users      []string   `json:"users,omitempty"`
	// Avoid is the version of a rollout that went wrong: no node turns to it
	// because others run it.
	Avoid string `json:"avoid,omitempty"`

	// Known tells that there is an order: without one, nothing is to be done.
	Known bool `json:"-"`
}

// OrderOf derives the order from a service's records, either of which may be
// nil.
func OrderOf(record *Record, live *pools.Live) Order {
	o := Order{Known: true}
	for _, colour := range []string{spec.Blue, spec.Green} {
		if record.Stages(colour) {
			o.Stage = append(o.Stage, colour)
		}
		if record.RollsOn(colour) {
			o.Roll = append(o.Roll, colour)
		}
		if live.Share(colour) > 0 {
			o.Users = append(o.Users, colour)
		}
	}
	switch {
	case record == nil, record.Phase == Done:
	case record.Phase.Ended():
		if live == nil || live.Version != record.Version {
			o.Avoid = record.Version
		}
	default:
		o.Rollout, o.Version = record.ID, record.Version
		if !record.SwitchedAt.IsZero() && !record.converges() {
			o.Keep = record.From
		}
	}
	if live != nil {
		o.Live, o.Generation = live.Side(), live.Generation
	}
	return o
}

// converges tells whether the rollout has come to the former pool, also where
// it was halted there.
func (r *Record) converges() bool {
	return r.Phase == Converging || r.Phase == Halted && r.Halt != nil && r.Halt.Phase == Converging
}

// Stages tells whether the nodes of a pool are to fetch the version.
func (o Order) Stages(pool string) bool { return slices.Contains(o.Stage, pool) }

// RollsOn tells whether the nodes of a pool are to run the version.
func (o Order) RollsOn(pool string) bool { return slices.Contains(o.Roll, pool) }

// HasUsers tells whether users are led to a pool.
func (o Order) HasUsers(pool string) bool { return slices.Contains(o.Users, pool) }

// ParseOrder reads an order; an empty value is one that isn't known.
func ParseOrder(value []byte) (Order, error) {
	var o Order
	if len(value) == 0 {
		return o, nil
	}
	if err := json.Unmarshal(value, &o); err != nil {
		return Order{}, fmt.Errorf("parse the order: %w", err)
	}
	o.Known = true
	return o, nil
}
