// Package preflight finds out what a machine lacks to run the agent and given
// services, before anything is started on it. It changes nothing: what it has
// to try, such as a file or a Consul session, it takes back at once.
package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"switchd/consul"
)

// Level is how bad a finding is.
type Level string

// The levels. Missing keeps the agent, or one of its services, from working.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Missing Level = "missing"
)

// Finding is one thing that was looked at.
type Finding struct {
	Level Level  `json:"level"`
	What  string `json:"what"`           // such as "open files"
	Have  string `json:"have"`           // what there is, and where that was read
	Need  string `json:"need,omitempty"` // what there should be
	// Fix is the line to add or the command to run; empty when all is well.
	Fix string `json:"fix,omitempty"`
}

// Needs are what the agent and its services ask of the machine. What is zero
// is not asked for.
type Needs struct {
	Data      string // the agent's data directory
	Room      uint64 // bytes that must be free there
	Lock      uint64 // bytes that services have locked in memory: preload = "lock"
	OpenFiles uint64 // files and connections of the agent
	// Listen are the TCP addresses that must be free: the swarm's, and those of
	// services that don't run now.
	Listen []netip.AddrPort
	// Users are what services run as: user or user:group.
	Users []string
	// Unit is the systemd unit of the agent. Where systemd knows it, its limits
	// count, and this process's otherwise. It may be empty: then it is the one
	// that this process belongs to, if any.
	Unit string
	// Consul, Env and Services are what the rights are tried with; no Consul,
	// no test. Node is the agent's name of itself, if not Consul's.
	Consul   *consul.Client
	Env      string
	Node     string
	Services []string
}

// unitTimeout bounds the questions to systemd.
const unitTimeout = 5 * time.Second

// Check looks at everything that is needed, in a fixed order. The slowest part
// is a Consul that doesn't answer, which ends after consul.CallTimeout.
func Check(ctx context.Context, needs Needs) []Finding {
	u := askUnit(ctx, needs.Unit)
	findings := []Finding{supervision(u)}
	add := func(more ...Finding) { findings = append(findings, more...) }
	limits := limitsOf(u)
	if needs.OpenFiles > 0 {
		add(openFiles(limits, needs.OpenFiles))
	}
	if needs.Lock > 0 {
		add(lockedMemory(limits, needs.Lock))
	}
	if needs.Data != "" {
		add(disk(needs.Data, needs.Room)...)
	}
	for _, addr := range needs.Listen {
		add(port(ctx, addr))
	}
	for _, name := range needs.Users {
		add(account(name, limits.root))
	}
	add(clock(readClock()))
	if needs.Consul != nil {
		add(catalog(ctx, needs)...)
	}
	return findings
}

// Worst is the worst level of all findings, OK if there are none.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		if f.Level == Missing {
			return Missing
		}
		if f.Level == Warning {
			worst = Warning
		}
	}
	return worst
}

func ok(what, have string) Finding { return Finding{Level: OK, What: what, Have: have} }

// untold is a finding of something that could not be found out.
func untold(what, need, fix string, err error) Finding {
	return Finding{Level: Warning, What: what, Have: fmt.Sprintf("it can't be told: %v", err), Need: need, Fix: fix}
}

// bytes prints a size for people.
func bytes(n uint64) string {
	switch {
	case n == infinity:
		return "unlimited"
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
