// Package status tells people and programs what is live, what runs where, and
// what is waited for: one document, read from Consul, and its text.
package status

import (
	"time"

	"switchd/pools"
	"switchd/rollout"
	"switchd/train"
)

// Document is the state of an environment's services at one moment.
type Document struct {
	Environment string    `json:"environment"`
	At          time.Time `json:"at"`
	// Services are sorted by name.
	Services []Service `json:"services"`
	// Replicas are the processes of `switchd serve`, by name.
	Replicas []Replica `json:"replicas"`
	// Trains are those that are under way or ended within the last hour, the
	// oldest first; TrainsError says why some are missing.
	Trains      []*train.Train `json:"trains,omitempty"`
	TrainsError string         `json:"trains_error,omitempty"`
}

// Service is one service's state.
type Service struct {
	Name  string `json:"name"`
	Owner string `json:"owner,omitempty"`
	// Error says why nothing else is known of the service.
	Error string `json:"error,omitempty"`
	// Live is nil as long as no release was switched to.
	Live *Live `json:"live,omitempty"`
	// Pools are by colour, always both unless there is an Error.
	Pools map[string]Pool `json:"pools,omitempty"`
	// Rollout is the current or the last one, nil if there never was one.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Eligible is what is known of the environment before this one, while no
	// rollout is under way; nil: releases need not have been in another one.
	Eligible *rollout.Eligibility `json:"eligible,omitempty"`
}

// Live is what users reach.
type Live struct {
	Pool    string `json:"pool"`
	Version string `json:"version"`
	// Weights are the percentages by pool while the idle pool has a share.
	Weights    map[string]int `json:"weights,omitempty"`
	Generation uint64         `json:"generation"`
	Since      time.Time      `json:"since"` // of this generation
	By         string         `json:"by"`
	Why        string         `json:"why,omitempty"`
	RolledBack bool           `json:"rolled_back,omitempty"`
	// Previous is where a rollback would lead to.
	Previous pools.Side `json:"previous,omitzero"`
}

// Pool is one colour of a service.
type Pool struct {
	Live bool `json:"live"`
	// Share is the percentage of users that the pool has.
	Share int `json:"share"`
	// Wanted is the version that its nodes are to run; empty: an idle pool
	// keeps what is there.
	Wanted  string `json:"wanted,omitempty"`
	Quorum  int    `json:"quorum"`
	Passing int    `json:"passing"` // nodes that pass, whatever version they run
	// Nodes are those that are registered and those that should be, by name.
	Nodes []Node `json:"nodes"`
}

// Node is one node of a pool.
type Node struct {
	Node    string `json:"node"`
	Address string `json:"address,omitempty"` // host:port
	Version string `json:"version,omitempty"` // empty: nothing is registered
	Passing bool   `json:"passing"`
	Why     string `json:"why,omitempty"` // it does not pass
	// Stale tells that it runs another version than it should, for Reason.
	Stale  bool   `json:"stale,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Agent is what the node's agent does about the rollout's version, and
	// what it waits for.
	Agent string `json:"agent,omitempty"`
}

// Rollout is one release on its way, or at the end of it.
type Rollout struct {
	ID      string     `json:"id"`
	Version string     `json:"version"`
	Pool    string     `json:"pool"`
	From    pools.Side `json:"from,omitzero"`
	By      string     `json:"by"`
	Begun   time.Time  `json:"begun"`

	Phase   rollout.Phase `json:"phase"`
	Entered time.Time     `json:"entered"`
	// Reached is the last phase on the rollout's way: of one that stands
	// still or has ended, the phase in which that happened.
	Reached rollout.Phase `json:"reached"`
	// Then happens at Deadline if the phase has not ended; zero: never.
	Deadline time.Time `json:"deadline,omitzero"`
	Then     string    `json:"then,omitempty"`
	Wait     *Wait     `json:"wait,omitempty"`

	Halt    *rollout.Halt `json:"halt,omitempty"`
	Outcome string        `json:"outcome,omitempty"`
	// Gates are those that the rollout has come to, and those that are ahead.
	Gates []Gate `json:"gates,omitempty"`
	// Share is what share of the users the pool is measured to have, while it
	// has one before the switch.
	Share      *Share    `json:"share,omitempty"`
	LeftOut    []string  `json:"left_out,omitempty"`
	SwitchedAt time.Time `json:"switched_at,omitzero"`
	ProvedAt   time.Time `json:"proved_at,omitzero"`
	BakeUntil  time.Time `json:"bake_until,omitzero"`
}

// Wait is what a rollout waits for.
type Wait struct {
	For string `json:"for"`
	// Reason is what kind of thing that is.
	Reason rollout.WaitReason `json:"reason,omitempty"`
	Since  time.Time          `json:"since"`
	// Until is when Then happens; zero: it waits for a person, for ever.
	Until time.Time `json:"until,omitzero"`
	Then  string    `json:"then,omitempty"`
}

// Share is a part of the users, in percent.
type Share struct {
	Set      int       `json:"set"`
	Measured float64   `json:"measured"`
	At       time.Time `json:"at"`
}

// Replica is one process of `switchd serve`.
type Replica struct {
	Name    string `json:"name"`
	HTTP    string `json:"http"`
	DNS     string `json:"dns,omitempty"`
	Passing bool   `json:"passing"`
}
