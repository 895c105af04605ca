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
	// Hold is the pool that the rollout is to change, whatever it is doing: what
	// runs there is left alone otherwise.
	Hold string `json:"hold,omitempty"`
	// Live is what users reach; Users are all pools with a share of them.
	Live       pools.Side `json:"live,omitzero"`
	Generation uint64     `json:"generation,omitempty"`
	Users      []string   `json:"users,omitempty"`
	// Avoid is the version of a rollout that went wrong: no node turns to it
	// because others run it.
	Avoid string `json:"avoid,omitempty"`
}

// OrderOf derives the order from a service's records, either of which may be
// nil.
func OrderOf(record *Record, live *pools.Live) Order {
	var o Order
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
	if record != nil {
		switch record.Phase {
		case Failed, RolledBack:
			o.Avoid = record.Version
		case Done:
		default:
			o.Rollout, o.Version, o.Hold = record.ID, record.Version, record.Pool
		}
	}
	if live != nil {
		o.Live, o.Generation = live.Side(), live.Generation
	}
	return o
}

// Stages tells whether the nodes of a pool are to fetch the version.
func (o Order) Stages(pool string) bool { return slices.Contains(o.Stage, pool) }

// RollsOn tells whether the nodes of a pool are to run the version.
func (o Order) RollsOn(pool string) bool { return slices.Contains(o.Roll, pool) }

// HasUsers tells whether users are led to a pool.
func (o Order) HasUsers(pool string) bool { return slices.Contains(o.Users, pool) }

// ParseOrder reads an order; an empty value is one that asks for nothing.
func ParseOrder(value []byte) (Order, error) {
	var o Order
	if len(value) == 0 {
		return o, nil
	}
	if err := json.Unmarshal(value, &o); err != nil {
		return Order{}, fmt.Errorf("parse the order: %w", err)
	}
	return o, nil
}
