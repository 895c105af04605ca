package rolling_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"switchd/consul"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestAgent_KeepsItsServiceWithoutConsul is the promise that services run on,
// and start again, without Consul: under the agent that was there, and under
// one that began without.
func TestAgent_KeepsItsServiceWithoutConsul(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	n := newNode(t, server, "away")
	n.ttl = time.Second
	h := n.deployed("1")
	before := n.journalSession()
	server.Kill()
	n.wantServing("1")
	n.killPid(h)
	h = n.nextStart()
	n.awaitServing("1")

	n.end()
	n.begin()
	n.awaitThat("note that Consul is away", func() bool { return strings.Count(n.log.String(), "consul is away") >= 2 })
	n.wantServing("1")
	n.noStart()
	n.killPid(h)
	n.nextStart()
	n.awaitServing("1")

	server.Start()
	n.awaitKey(n.reportKey("1"), "report under a session", func(e consul.Entry) bool { return e.Session != "" && strings.Contains(string(e.Value), `"running"`) })
	n.awaitThat("passing state in the catalog", func() bool { return n.passes("1") })
	n.roll("r2", "2")
	n.awaitReport("2", rollout.Running)
	n.wantServing("2")
	n.wantCatalog("2")
	if n.journalSession() == before {
		t.Log("the former session outlived Consul's end")
	}
}

// TestAgent_TakesNoOutageForAFailedVersion ends Consul while a version is to be
// proved: a catalog that can't be read says nothing about the version.
func TestAgent_TakesNoOutageForAFailedVersion(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	n := newNode(t, server, "outage")
	n.ttl = time.Second
	n.service.Roll.HealthyDeadline = spec.Duration(time.Second)
	n.service.Health.Timeout = spec.Duration(200 * time.Millisecond)
	n.apply()
	n.deployed("1")
	started := make(chan struct{})
	gone := make(chan struct{})
	n.runtime.hook(nil, func(action string) {
		if action == "start" {
			close(started)
			<-gone
		}
	})
	n.roll("r2", "2")
	<-started
	n.runtime.hook(nil, nil)
	server.Kill()
	close(gone)
	n.awaitThat("retry", func() bool { return strings.Contains(n.log.String(), "replacement interrupted") })
	n.wantServing("2")
	server.Start()
	n.awaitReport("2", rollout.Running)
	n.wantServing("2")
	if n.journal().Refused != nil {
		t.Errorf("refused: %+v", n.journal().Refused)
	}
	n.awaitSlotsFree()
}

// TestAgent_EndsWhileConsulHangs stops Consul with SIGSTOP: connections stay
// open and nothing answers.
func TestAgent_EndsWhileConsulHangs(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	n := newNode(t, server, "hangs")
	n.deployed("1")
	must(t, server.Process().Signal(unix.SIGSTOP))
	defer func() { must(t, server.Process().Signal(unix.SIGCONT)) }()
	began := time.Now()
	n.end()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the agent took %v to end", took)
	}
}

// TestAgent_RestsWhileConsulIsAway counts how often an agent looks after its
// service when a fetch has ended and nothing can be done with it.
func TestAgent_RestsWhileConsulIsAway(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	n := newNode(t, server, "rests")
	n.ttl = time.Second
	n.deployed("1")
	fetched := make(chan struct{})
	arrive := sync.OnceFunc(func() { close(fetched) })
	t.Cleanup(arrive)
	n.stage = func(string) error { <-fetched; return nil }
	n.roll("r2", "2")
	n.awaitReport("2", rollout.Fetching)
	server.Kill()
	n.awaitThat("lost session", func() bool { return strings.Contains(n.log.String(), "consul session lost") })
	var looks atomic.Int64
	n.runtime.hook(func(action string) {
		if action == "look" {
			looks.Add(1)
		}
	}, nil)
	arrive()
	<-time.After(time.Second) // that nothing happens has no event
	if got := looks.Load(); got > 10 {
		t.Errorf("looked %d times in a second", got)
	}
}
