// Package notify tells people what becomes of rollouts. What is told, to whom
// and when, is decided by pure functions from a rollout's record and from what was
// told before; a Post delivers it, by Slack, e-mail, webhook and more.
package notify

import (
	"time"
)

// Notice is one thing that somebody is to be told.
type Notice struct {
	Key

	Environment string
	Service     string
	Version     string
	// Again tells that it was told before and still is so.
	Again bool
	// Subject is one line, Body several.
	Subject string
	Body    string
}

// Key tells a notice from all others of its service.
type Key struct {
	Rollout string `json:"rollout"`
	Event   string `json:"event"` // one of spec.Events
	// About is the gate and the point at which it stands, for a wait.
	About string `json:"about,omitempty"`
	// Since is when what is told came to be.
	Since time.Time `json:"since"`
	To    string    `json:"to"` // a name of Addresses
}

// String is the key as one word.
func (k Key) String() string {
	return k.Rollout + "/" + k.Event + "/" + k.About + "/" + k.Since.UTC().Format(time.RFC3339Nano) + "/" + k.To
}
