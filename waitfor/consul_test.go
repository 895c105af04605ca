package waitfor_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"pgregory.net/rapid"

	"switchd/consul"
	"switchd/gate"
	"switchd/spec"
	"switchd/testenv/devconsul"
	"switchd/waitfor"
)

func put(t *testing.T, client *consul.Client, key, value string) {
	t.Helper()
	if _, err := client.API().KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, (&api.WriteOptions{}).WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func TestWatch_FollowsAKey(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	client := server.Client()
	version := watch(t, waitfor.Wait{
		For:  spec.WaitFor{Name: "migrated", Key: "migrations/{{service}}", Value: "{{version}}"},
		Vars: spec.Vars{Service: "web", Version: "2.0.0"}, Consul: client,
	})
	there := watch(t, waitfor.Wait{For: spec.WaitFor{Name: "migrated", Key: "migrations/web"}, Consul: client})
	version.next(t, gate.Unknown, `key migrations/web is not there; it must be "2.0.0"`)
	there.next(t, gate.Unknown, `key migrations/web is not there`)

	put(t, client, "migrations/web", " \n")
	version.next(t, gate.Unknown, `key migrations/web is ""; it must be "2.0.0"`)
	there.next(t, gate.Unknown, `key migrations/web is empty`)

	put(t, client, "migrations/web", strings.Repeat("1", 1000))
	version.next(t, gate.Unknown, `key migrations/web is "`+strings.Repeat("1", 100)+`"…; it must be "2.0.0"`)
	there.next(t, gate.Pass, `key migrations/web is there`)

	put(t, client, "migrations/web", "2.0.0\n")
	version.next(t, gate.Pass, `key migrations/web is "2.0.0"`)

	// What holds may not hold any more, and what can't be read is not known.
	put(t, client, "migrations/web", "1.0.0")
	version.next(t, gate.Unknown, `key migrations/web is "1.0.0"; it must be "2.0.0"`)
	put(t, client, "migrations/web", "2.0.0")
	version.next(t, gate.Pass, `key migrations/web is "2.0.0"`)
	server.Kill()
	version.next(t, gate.Unknown, "key migrations/web is not known: watch: Consul can't be reached")
	server.Start()
	version.await(t, gate.Pass, `key migrations/web is "2.0.0"`)
}

func TestWatch_SaysThatAKeyMayNotBeRead(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, map[string]any{"acl": map[string]any{"enabled": true, "default_policy": "deny"}})
	watch(t, waitfor.Wait{For: spec.WaitFor{Key: "migrations/web"}, Consul: server.Client()}).
		next(t, gate.Unknown, "key migrations/web is not known: watch: permission denied by Consul's ACL")
	watch(t, waitfor.Wait{For: spec.WaitFor{Service: "db"}, Consul: server.Client()}).
		next(t, gate.Unknown, "service db has no instance in Consul that the replica's token may see; 1 must pass")
}

func TestWatch_FollowsTheHealthOfAService(t *testing.T) {
	t.Parallel()
	client := devconsul.Start(t, nil).Client()
	agent := client.API().Agent()
	register := func(id, status string) {
		t.Helper()
		if err := agent.ServiceRegister(&api.AgentServiceRegistration{
			ID: id, Name: "db", Check: &api.AgentServiceCheck{CheckID: id, TTL: "1h", Status: status},
		}); err != nil {
			t.Fatal(err)
		}
	}
	update := func(id, status string) {
		t.Helper()
		if err := agent.UpdateTTL(id, "", status); err != nil {
			t.Fatal(err)
		}
	}
	r := watch(t, waitfor.Wait{
		For: spec.WaitFor{Service: "d{{pool}}", Passing: 2}, Vars: spec.Vars{Pool: "b"}, Consul: client,
	})
	r.next(t, gate.Unknown, "service db has no instance in Consul")
	register("db-1", api.HealthPassing)
	r.await(t, gate.Unknown, "1 of 1 instances of db pass; 2 must")
	register("db-2", api.HealthWarning)
	r.await(t, gate.Unknown, "1 of 2 instances of db pass; 2 must: db-2 on server is warning")
	update("db-2", api.HealthPassing)
	r.await(t, gate.Pass, "2 of 2 instances of db pass; 2 must")
	update("db-1", api.HealthCritical)
	r.await(t, gate.Unknown, "1 of 2 instances of db pass; 2 must: db-1 on server is critical")
	if err := agent.ServiceDeregister("db-1"); err != nil {
		t.Fatal(err)
	}
	r.await(t, gate.Unknown, "1 of 1 instances of db pass; 2 must")
}

// TestServiceVerdict_PassesOnlyForEnoughThatPass holds of any instances.
func TestServiceVerdict_PassesOnlyForEnoughThatPass(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want, passing := rapid.IntRange(1, 5).Draw(t, "want"), 0
		var entries []*api.ServiceEntry
		for i := range rapid.IntRange(0, 20).Draw(t, "instances") {
			e := &api.ServiceEntry{Node: &api.Node{Node: "n"}, Service: &api.AgentService{ID: fmt.Sprint(i)}}
			passes := true
			for _, status := range rapid.SliceOfN(rapid.SampledFrom([]string{api.HealthPassing, api.HealthPassing, api.HealthWarning, api.HealthCritical, api.HealthMaint}), 0, 3).Draw(t, "checks") {
				e.Checks = append(e.Checks, &api.HealthCheck{Status: status})
				passes = passes && status == api.HealthPassing
			}
			if passes {
				passing++
			}
			entries = append(entries, e)
		}
		v := waitfor.ServiceVerdict("db", want, entries)
		if (v.Outcome == gate.Pass) != (passing >= want) || v.Outcome == gate.Fail {
			t.Fatalf("%d of %d pass, and %d must: %s: %s", passing, len(entries), want, v.Outcome, v.Why)
		}
		if len(v.Evidence) > 10 || len(v.Why) > 300 {
			t.Fatalf("it is too long: %d lines, %q", len(v.Evidence), v.Why)
		}
	})
}
