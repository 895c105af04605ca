package status_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
	"switchd/status"
	"switchd/testenv/devconsul"
)

func TestLedger_IsReadFromConsul(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	client := server.Client()
	l := status.Ledger{Ledger: &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: "prod"}}}
	value := func(v any) []byte {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	web := spec.Service{
		Name: "web", Owner: "team-web", Health: spec.Health{Path: "/healthz", Interval: spec.Duration(time.Second), Timeout: spec.Duration(time.Second)}, Roll: spec.Roll{Quorum: spec.Nodes(2)},
		Pools: map[string]spec.Pool{spec.Blue: {Nodes: []string{"server"}}, spec.Green: {Nodes: []string{"gone"}}},
	}
	live := pools.Live{Service: "web", Pool: spec.Blue, Version: "2.3.0", Generation: 7, Rollout: "r", By: "switchd", At: at("05:11:11")}
	record := rollout.Record{ID: "r", Service: "web", Version: "2.3.0", Pool: spec.Blue, Phase: rollout.Done, Entered: at("05:11:11"), Outcome: "2.3.0 is live"}
	err := errors.Join(
		client.Txn(t.Context(), "write",
			consul.CAS(l.Keys.Spec("web"), value(web), 0), consul.CAS(l.Keys.Live("web"), value(live), 0), consul.CAS(l.Keys.Rollout("web"), value(record), 0),
			consul.CAS(l.Keys.Spec("api"), value(spec.Service{Name: "api"}), 0), consul.CAS(l.Keys.Live("api"), []byte(`{"service":"api"}`), 0)),
		pools.Register(t.Context(), client, pools.Registration{Service: web, Pool: spec.Blue, Version: "2.2.0", Address: "127.0.0.1", Port: 1}),
		replica.Register(t.Context(), client, replica.Replica{Name: "r1", Env: "prod", HTTP: "127.0.0.1:1", DNS: "127.0.0.1:53"}),
	)
	if err != nil {
		t.Fatal(err)
	}

	doc, err := status.Read(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if doc.Environment != "prod" || len(doc.Services) != 2 {
		t.Fatalf("got %+v", doc)
	}
	if got, want := doc.Services[0].Error, `parse switchd/prod/live/api in Consul: live record of "api": pool is "", expected "blue" or "green"`; got != want {
		t.Errorf("api: got %q, want %q", got, want)
	}
	service := doc.Services[1]
	if service.Live == nil || service.Live.Generation != 7 || service.Rollout == nil || service.Rollout.Outcome != "2.3.0 is live" {
		t.Errorf("web: got %+v", service)
	}
	blue, green := service.Pools[spec.Blue].Nodes, service.Pools[spec.Green].Nodes
	if len(blue) != 1 || blue[0].Node != "server" || blue[0].Address != "127.0.0.1:1" || blue[0].Passing || !blue[0].Stale {
		t.Errorf("blue: got %+v", blue)
	}
	if len(green) != 1 || green[0].Node != "gone" || green[0].State() != "absent" {
		t.Errorf("green: got %+v", green)
	}
	if want := (status.Replica{Name: "r1", HTTP: "127.0.0.1:1", DNS: "127.0.0.1:53"}); len(doc.Replicas) != 1 || doc.Replicas[0] != want {
		t.Errorf("replicas: got %+v", doc.Replicas)
	}

	if _, err := status.Read(t.Context(), l, "wbe"); !errors.Is(err, ledger.ErrUnknownService) {
		t.Errorf("got %v, want %v", err, ledger.ErrUnknownService)
	}
	server.Kill()
	if _, err := status.Read(t.Context(), l); !errors.Is(err, consul.ErrUnreachable) {
		t.Errorf("got %v, want %v", err, consul.ErrUnreachable)
	}
}
