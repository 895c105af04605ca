package members_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/goleak"

	"switchd/artifact"
	"switchd/consul"
	"switchd/members"
	"switchd/pools"
	"switchd/replica"
	"switchd/spec"
	"switchd/swarm"
	"switchd/testenv/devconsul"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type env struct {
	*testing.T

	client *consul.Client
	keys   consul.Keys
}

func (e env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// printOf makes up a fingerprint.
func printOf(node string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(node))) }

// agent is a node's agent, present until its session ends.
func (e env) agent(node string, port uint16) *consul.Session {
	e.Helper()
	session, err := e.client.NewSession(e.Context(), consul.SessionOptions{Name: node, TTL: 30 * time.Second, Delete: true})
	e.must(err)
	e.Cleanup(session.Abandon)
	value, err := json.Marshal(members.Presence{Address: "127.0.0.1", Swarm: swarm.Member{
		Node: "somebody else", Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), Fingerprint: printOf(node), Rack: "r1", Has: true,
	}})
	e.must(err)
	e.hold(session, e.keys.Presence()+node, value)
	return session
}

func (e env) hold(session *consul.Session, key string, value []byte) {
	e.Helper()
	ok, err := session.Acquire(e.Context(), key, value)
	e.must(err)
	if !ok {
		e.Fatalf("%s is held by another", key)
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	e := env{T: t, client: server.Client(), keys: consul.Keys{Env: "prod"}}
	m := artifact.Manifest{Service: "web", Version: "2", SHA256: "sha-of-2"}

	fetches, idle := e.agent("fetches", 1), e.agent("idle", 3)
	e.agent("runs", 2)
	e.hold(fetches, e.keys.Staging("web", "2", "fetches"), []byte(`{"rollout":"r","state":"fetching"}`))
	_, err := e.client.API().Catalog().Register(&api.CatalogRegistration{
		Node: "runs", Address: "127.0.0.1",
		Service: &api.AgentService{ID: "web-green", Service: "web", Meta: map[string]string{
			pools.MetaPool: spec.Green, pools.MetaVersion: "2", pools.MetaRelease: m.SHA256,
		}},
	}, nil)
	e.must(err)
	// Nobody guards these.
	_, err = e.client.API().KV().Put(&api.KVPair{Key: e.keys.Presence() + "forged", Value: []byte(`{"swarm":{"addr":"127.0.0.1:9","fingerprint":"` + printOf("forged") + `"}}`)}, nil)
	e.must(err)
	e.must(replica.Register(t.Context(), e.client, replica.Replica{
		Name: "dns1", Env: "prod", HTTP: "127.0.0.1:80", Swarm: "127.0.0.1:4", Fingerprint: printOf("dns1"), Datacenter: "dc1", Rack: "r1",
	}))
	e.must(replica.Register(t.Context(), e.client, replica.Replica{Name: "dns2", Env: "staging", HTTP: "127.0.0.1:81", Swarm: "127.0.0.1:5", Fingerprint: printOf("staging")}))

	all := members.New(e.client, e.keys)
	holders := func() []string {
		t.Helper()
		found, err := all.Holders(t.Context(), m)
		e.must(err)
		var names []string
		for _, h := range found {
			name := h.Node
			if h.Has {
				name += " has it"
			}
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	var got []string
	want := []string{"fetches", "runs has it", "switchd/dns1 has it"}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		all = members.New(e.client, e.keys) // the catalog shows the replica a little later
		if got = holders(); slices.Equal(got, want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("holders are %q, want %q", got, want)
	}
	for print, want := range map[string]string{
		printOf("idle"): "idle", printOf("dns1"): "switchd/dns1", printOf("staging"): "", printOf("forged"): "", "": "",
	} {
		switch member, found, err := all.Member(t.Context(), print); {
		case err != nil:
			t.Error(err)
		case found != (want != "") || member.Node != want:
			t.Errorf("%q is %q, %v, want %q", print, member.Node, found, want)
		}
	}
	if got := all.RackPeers("", "r1"); got != 3 {
		t.Errorf("%d share the rack, want 3", got)
	}

	// Who comes is let in soon, and who goes is not any more.
	e.agent("late", 6)
	e.await("late to be let in", func() bool {
		_, found, err := all.Member(t.Context(), printOf("late"))
		e.must(err)
		return found
	})
	e.must(idle.Close(t.Context()))
	e.await("idle to be refused", func() bool {
		_, found, err := all.Member(t.Context(), printOf("idle"))
		e.must(err)
		return !found
	})
}

func (e env) await(what string, is func() bool) {
	e.Helper()
	for deadline := time.Now().Add(15 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestParsePresence_TakesThatOfAFormerAgent(t *testing.T) {
	t.Parallel()
	if got := members.ParsePresence([]byte("10.0.0.7")); got != (members.Presence{Address: "10.0.0.7"}) {
		t.Errorf("got %+v", got)
	}
}
