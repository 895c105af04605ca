package rolling_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/rolling"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// registered is the node's entry in the catalog, nil: none.
func (n *node) registered() *api.ServiceEntry {
	n.Helper()
	services, err := n.consul.Service(n.Context(), n.service.Name)
	must(n.T, err)
	i := slices.IndexFunc(services, func(s *api.ServiceEntry) bool { return s.Node.Node == nodeName })
	if i < 0 {
		return nil
	}
	return services[i]
}

// maintained tells whether the catalog has the node in maintenance.
func (n *node) maintained() bool {
	n.Helper()
	entry := n.registered()
	return entry != nil && entry.Checks.AggregatedStatus() == api.HealthMaint
}

// maintain puts the node's instance into maintenance.
func (n *node) maintain(why string) {
	n.Helper()
	must(n.T, n.consul.API().Agent().EnableServiceMaintenance(n.unit(), why))
	n.awaitThat("maintenance in the catalog", n.maintained)
}

func registersAgainWhatWasDeregistered(n *node) {
	n.again = 2 * time.Second // more than Consul waits before its first check
	n.deployed("1")
	before := n.registered().Service.CreateIndex
	began := time.Now()
	must(n.T, n.consul.API().Agent().ServiceDeregister(n.unit()))
	n.awaitThat("new registration", func() bool {
		entry := n.registered()
		return entry != nil && entry.Service.CreateIndex > before
	})
	if took := time.Since(began); took > 10*time.Second {
		n.Errorf("registered again after %v, want it every %v", took, n.again)
	}
	n.awaitThat("passing state in the catalog", func() bool { return n.passes("1") })
	n.wantServing("1")
	n.wantCatalog("1")
}

// endsTheMaintenanceOfAFormerAgent begins with the journal of an agent that
// was killed before its node was out of maintenance again.
func endsTheMaintenanceOfAFormerAgent(n *node) {
	n.deployed("1")
	n.end()
	n.maintain("switchd: replaced by 1")
	journal, err := rolling.OpenJournal(n.root, nodeName)
	must(n.T, err)
	unit := journal.Unit(n.unit())
	unit.Maintained = true
	must(n.T, journal.SetUnit(n.unit(), unit))
	n.begin()
	n.awaitThat("end of the maintenance", func() bool { return n.passes("1") && !n.journal().Maintained })
	n.wantServing("1")
	n.wantCatalog("1")
}

// leavesAnOperatorsMaintenanceAlone has the agent register anew, for a new tag,
// and begin again, in an operator's maintenance.
func leavesAnOperatorsMaintenanceAlone(n *node) {
	n.deployed("1")
	n.maintain("a new disk")
	want := func(when string) {
		n.Helper()
		if !n.maintained() {
			n.Errorf("%s: the catalog has %+v, want it in maintenance", when, n.registered())
		}
	}
	tagged := func(tag string) {
		n.Helper()
		n.awaitThat("tag "+tag, func() bool { return n.registered().Service.Tags[1] == tag })
	}
	n.live("1", 1)
	tagged("live")
	want("after a new registration")

	n.end()
	n.liveRecord = nil
	n.record(n.rollout)
	n.begin()
	tagged("idle")
	want("after a restart of the agent")
	n.wantServing("1")
}

// TestAgent_PutsRightWhatAnOutageLeftUndone ends Consul after the old version
// was stopped and starts it again before the new one's deadline: what could not
// be told to it meanwhile says nothing about the version.
func TestAgent_PutsRightWhatAnOutageLeftUndone(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	n := newNode(t, server, "undone")
	n.service.Roll.HealthyDeadline = spec.Duration(patience)
	n.apply()
	n.deployed("1")
	n.runtime.hook(nil, func(action string) {
		if action == "stop" {
			server.Kill()
		}
	})
	n.roll("r2", "2")
	n.awaitThat("failed end of the maintenance", func() bool { return strings.Contains(n.log.String(), "on=false") })
	server.Start()
	n.awaitReport("2", rollout.Running)
	n.awaitSlotsFree()
	n.wantServing("2")
	n.wantCatalog("2")
	if unit := n.journal(); unit.Maintained || unit.Refused != nil {
		t.Errorf("the journal has %+v", unit)
	}
}
