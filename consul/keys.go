package consul

import (
	"strconv"
	"strings"
)

// Root is the KV folder under which every environment has its own.
const Root = "switchd/"

// Keys names the KV keys of one environment.
type Keys struct {
	Env string
}

// Prefix is the folder of the environment, with a final slash.
func (k Keys) Prefix() string { return Root + k.Env + "/" }

// Desired is the folder of the desired state.
func (k Keys) Desired() string { return k.Prefix() + "spec/" }

// Environment holds the compiled environment.
func (k Keys) Environment() string { return k.Desired() + "environment" }

// Specs is the folder of the compiled services.
func (k Keys) Specs() string { return k.Desired() + "services/" }

// Spec holds one compiled service.
func (k Keys) Spec(service string) string { return k.Specs() + service }

// Releases is the folder of one service's releases.
func (k Keys) Releases(service string) string { return k.Prefix() + "releases/" + service + "/" }

// AllReleases is the folder of the releases of all services.
func (k Keys) AllReleases() string { return k.Prefix() + "releases/" }

// Release holds one release's manifest.
func (k Keys) Release(service, version string) string { return k.Releases(service) + version }

// Lives is the folder of all live records.
func (k Keys) Lives() string { return k.Prefix() + "live/" }

// Live holds one service's live record.
func (k Keys) Live(service string) string { return k.Lives() + service }

// Rollouts is the folder of all rollout records.
func (k Keys) Rollouts() string { return k.Prefix() + "rollouts/" }

// Rollout holds one service's current or last rollout.
func (k Keys) Rollout(service string) string { return k.Rollouts() + service }

// Orders is the folder of what the agents of each service are to do.
func (k Keys) Orders() string { return k.Prefix() + "deploy/" }

// Order holds what one service's agents are to do.
func (k Keys) Order(service string) string { return k.Orders() + service }

// AllHistories is the folder of the ended rollouts of all services.
func (k Keys) AllHistories() string { return k.Prefix() + "history/" }

// Histories is the folder of one service's ended rollouts.
func (k Keys) Histories(service string) string { return k.AllHistories() + service + "/" }

// History holds one ended rollout.
func (k Keys) History(service, id string) string { return k.Histories(service) + id }

// Consents is the folder of what all people have said of rollouts that wait for
// them.
func (k Keys) Consents() string { return k.Prefix() + "approvals/" }

// Consent holds what one person says of one gate of a service. The person
// comes first, so that Consul's ACL can let everybody write in their own name
// only, and for some services or gates only.
func (k Keys) Consent(who, service, gate string) string {
	return k.Consents() + who + "/" + service + "/" + gate
}

// Bypasses is the folder of the gates that people have gone around.
func (k Keys) Bypasses() string { return k.Prefix() + "bypasses/" }

// Bypass holds one person's bypass of one gate of a service.
func (k Keys) Bypass(who, service, gate string) string {
	return k.Bypasses() + who + "/" + service + "/" + gate
}

// Trains is the folder of the trains.
func (k Keys) Trains() string { return k.Prefix() + "trains/" }

// Train holds one train.
func (k Keys) Train(id string) string { return k.Trains() + id }

// Eligibles is the folder of what is known of the environment before this one.
// Who drives this environment writes it, whoever may see its state reads it.
func (k Keys) Eligibles() string { return k.Prefix() + "eligible/" }

// Eligible holds what is known of one service there.
func (k Keys) Eligible(service string) string { return k.Eligibles() + service }

// Upstream holds when the environment before this one was read last.
func (k Keys) Upstream() string { return k.Prefix() + "upstream" }

// Notices is the folder of what was told to whom last.
func (k Keys) Notices() string { return k.Prefix() + "notices/" }

// Notice holds what was told of one service last.
func (k Keys) Notice(service string) string { return k.Notices() + service }

// AllStagings is the folder of what all nodes report of all services.
func (k Keys) AllStagings() string { return k.Prefix() + "staging/" }

// Stagings is the folder of what all nodes report of a service.
func (k Keys) Stagings(service string) string { return k.AllStagings() + service + "/" }

// StagingsBy is the folder of what one node reports of a service. The node comes
// before the version, so that Consul's ACL can let an agent report for its own
// node only.
func (k Keys) StagingsBy(service, node string) string { return k.Stagings(service) + node + "/" }

// Staging holds what one node reports of one version, bound to its session.
func (k Keys) Staging(service, version, node string) string {
	return k.StagingsBy(service, node) + version
}

// SplitStaging tells whose report of a service a key holds, and of what. It
// reads the key from its beginning, which is what an ACL protects: a node that
// makes folders below its own speaks for itself all the same.
func (k Keys) SplitStaging(service, key string) (node, version string, ok bool) {
	rest, ok := strings.CutPrefix(key, k.Stagings(service))
	if !ok {
		return "", "", false
	}
	node, version, ok = strings.Cut(rest, "/")
	return node, version, ok && node != "" && version != "" && !strings.Contains(version, "/")
}

// AllSlots is the folder of the slots of a service's pools.
func (k Keys) AllSlots(service string) string { return k.Prefix() + "slots/" + service + "/" }

// Slots is the folder of one pool's slots.
func (k Keys) Slots(service, pool string) string { return k.AllSlots(service) + pool + "/" }

// Slot is locked by the node that may have its service down.
func (k Keys) Slot(service, pool string, n int) string {
	return k.Slots(service, pool) + strconv.Itoa(n)
}

// Presence is the folder in which each agent holds its node's name.
func (k Keys) Presence() string { return k.Prefix() + "agents/" }

// Lease is locked by the replica that drives the environment.
func (k Keys) Lease() string { return k.Prefix() + "lease" }

// Operators is the folder of the short leases of commands that write.
func (k Keys) Operators() string { return k.Prefix() + "operators/" }

// Serial holds the zone's serial. It stands beside the folder of the live
// records, so that one read of LivesAndSerial sees both at one index: answers
// and their serial never come apart.
func (k Keys) Serial() string { return k.Prefix() + "live.serial" }

// Names holds what DNS answers besides live records and nodes: the zone, the
// names in it and the name servers. It stands beside the serial too.
func (k Keys) Names() string { return k.Prefix() + "live.names" }

// AllAnswering is the folder of the nodes that DNS answers with, which stands
// beside the serial too.
func (k Keys) AllAnswering() string { return k.Prefix() + "live.pools/" }

// Answering holds the nodes of one service that DNS answers with.
func (k Keys) Answering(service string) string { return k.AllAnswering() + service }

// LivesAndSerial is the common prefix of all that DNS answers are made of: of
// Lives, Names, AllAnswering and Serial.
func (k Keys) LivesAndSerial() string { return k.Prefix() + "live" }

// ZoneFiles is the folder of zone files.
func (k Keys) ZoneFiles() string { return k.Prefix() + "zonefiles/" }

// ZoneFile holds the compressed text of the zone file with a SHA-256.
func (k Keys) ZoneFile(sha256 string) string { return k.ZoneFiles() + sha256 }

// Base is the last part of a key.
func Base(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }
