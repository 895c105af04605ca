package driver

import (
	"fmt"
	"time"

	"switchd/dnsproof"
)

// claim is what witnesses are to show of a name.
type claim interface {
	fqdn() string
	// shown tells whether the reply of a witness of some kind shows it.
	shown(k kind, r dnsproof.Reply) bool
	// words are what a reply says, whether that shows it or not.
	words(r dnsproof.Reply) string
}

// leadsTo claims that the name leads to a pool.
type leadsTo struct {
	lead

	pool string
}

func (c leadsTo) shown(_ kind, r dnsproof.Reply) bool { return c.shows(r, c.pool) }

// givesFor claims that no cache is told the name for longer than a time.
type givesFor struct {
	lead

	most time.Duration
	// since is the serial from which on the zone says so. Before it, another
	// rollout may have said so too, and the version in between may yet be on
	// its way to who is behind. Other name servers may sign the zone under
	// serials of their own, and aren't held to it.
	since uint32
}

func (c givesFor) shown(k kind, r dnsproof.Reply) bool {
	// What is not there may be kept for another time than that of the name.
	return c.isLed(r) && r.TTL <= c.most && (k != replicas && k != secondaries || !c.old(r))
}

// old tells that a reply is of an older version of the zone, RFC 1982 section
// 3.2. One that leads out of the zone doesn't tell.
func (c givesFor) old(r dnsproof.Reply) bool {
	return r.Zone == c.zone && int32(r.Serial-c.since) < 0
}

func (c givesFor) words(r dnsproof.Reply) string {
	text := c.lead.words(r)
	if !c.isLed(r) {
		return text
	}
	text += fmt.Sprintf(" for %s", r.TTL)
	if c.old(r) {
		text += fmt.Sprintf(", serial %d of before it was armed", r.Serial)
	}
	return text
}
