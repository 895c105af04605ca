// Package pools is the blue and the green pool of a service as Consul holds
// them: the live record, the registrations and their health.
package pools

import (
	"encoding/json"
	"fmt"
	"time"

	"switchd/spec"
)

// Live is the record of which pool users reach. It is the one truth that
// traffic is steered by; everything else is derived from it.
type Live struct {
	Service string `json:"service"`
	Pool    string `json:"pool"`
	Version string `json:"version"`
	// Weights are the percentages by pool while the idle pool has a share;
	// empty means that the live pool has everything.
	Weights map[string]int `json:"weights,omitempty"`
	// Armed tells that the service's name has its short TTL: a rollout may
	// lead users elsewhere, or just did.
	Armed bool `json:"armed,omitempty"`
	// Generation grows by one with each change.
	Generation uint64 `json:"generation"`
	// Previous is where a rollback goes: the pool and version that were live
	// before the last switch.
	Previous Side `json:"previous,omitzero"`
	// Rollout is the rollout that made the change or, for a rollback, the one
	// that was taken back.
	Rollout    string    `json:"rollout"`
	RolledBack bool      `json:"rolled_back,omitempty"`
	Why        string    `json:"why,omitempty"`
	By         string    `json:"by"`
	At         time.Time `json:"at"`

	// Index is the record's ModifyIndex in Consul, for CAS.
	Index uint64 `json:"-"`
}

// Side is a pool with the version in it.
type Side struct {
	Pool    string `json:"pool,omitempty"`
	Version string `json:"version,omitempty"`
}

// String prints the side for people.
func (s Side) String() string {
	if s.Pool == "" {
		return "nothing"
	}
	return s.Version + " on " + s.Pool
}

// Read is the index at which the record was read, 0 for none.
func (l *Live) Read() uint64 {
	if l == nil {
		return 0
	}
	return l.Index
}

// Side is the live pool with its version; empty for no record.
func (l *Live) Side() Side {
	if l == nil {
		return Side{}
	}
	return Side{Pool: l.Pool, Version: l.Version}
}

// Share is the percentage of users that a pool has.
func (l *Live) Share(pool string) int {
	switch {
	case l == nil:
		return 0
	case len(l.Weights) > 0:
		return l.Weights[pool]
	case l.Pool == pool:
		return 100
	default:
		return 0
	}
}

// Validate says what is wrong with a record, which must never be acted on.
func (l *Live) Validate() error {
	if l.Pool != spec.Blue && l.Pool != spec.Green {
		return fmt.Errorf("live record of %q: pool is %q, expected %q or %q", l.Service, l.Pool, spec.Blue, spec.Green)
	}
	if l.Version == "" || l.Generation == 0 {
		return fmt.Errorf("live record of %q: version or generation is missing", l.Service)
	}
	if len(l.Weights) == 0 {
		return nil
	}
	sum := 0
	for pool, share := range l.Weights {
		if (pool != spec.Blue && pool != spec.Green) || share < 0 || share > 100 {
			sum = -1
			break
		}
		sum += share
	}
	if sum != 100 {
		return fmt.Errorf("live record of %q: weights %v, expected shares of blue and green that add up to 100", l.Service, l.Weights)
	}
	return nil
}

// Next is the record that follows l: one generation on, with the change's
// author. It isn't armed, nor has it weights: only a rollout that goes on
// keeps them.
func (l *Live) Next(by string, at time.Time) *Live {
	next := Live{Generation: 1, By: by, At: at.UTC()}
	if l != nil {
		next.Service, next.Pool, next.Version, next.Previous = l.Service, l.Pool, l.Version, l.Previous
		next.Generation, next.Index = l.Generation+1, l.Index
	}
	return &next
}

// ParseLive reads a record. It gives nil for an empty value.
func ParseLive(value []byte, index uint64) (*Live, error) {
	if len(value) == 0 {
		return nil, nil //nolint:nilnil // no record yet is an ordinary state
	}
	var l Live
	if err := json.Unmarshal(value, &l); err != nil {
		return nil, fmt.Errorf("parse the live record: %w", err)
	}
	if err := l.Validate(); err != nil {
		return nil, err
	}
	l.Index = index
	return &l, nil
}
