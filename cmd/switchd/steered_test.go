package main

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"switchd/alerts"
	"switchd/consul"
	"switchd/ledger"
	"switchd/mesh"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestAlerts_TakeTheCanarysShareInTheMeshWithNobodyDriving: the replica that
// takes the alert has the mesh follow by itself.
func TestAlerts_TakeTheCanarysShareInTheMeshWithNobodyDriving(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	l := &ledger.Ledger{Consul: server.Client(), Keys: consul.Keys{Env: "prod"}}
	began := time.Now().Add(-time.Minute)
	for key, value := range map[string]any{
		l.Keys.Environment(): spec.Environment{Name: "prod"},
		l.Keys.Spec("web"):   spec.Service{Name: "web", Mesh: &spec.Mesh{Service: "web", Protocol: "http"}},
		l.Keys.Live("web"): pools.Live{
			Service: "web", Pool: spec.Blue, Version: "1", Generation: 2, Weights: map[string]int{spec.Blue: 90, spec.Green: 10},
		},
		l.Keys.Rollout("web"): rollout.Record{
			ID: "r", Service: "web", Version: "2", Pool: spec.Green, From: pools.Side{Pool: spec.Blue, Version: "1"}, At: began, Phase: rollout.Canary, Entered: began, Generation: 2,
		},
	} {
		keep(t, server, key, value)
	}
	leads := func() string {
		t.Helper()
		chain, err := l.Consul.Chain(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		_, words := mesh.Leads(chain, "")
		return words
	}
	if _, err := deriveMesh(t.Context(), l, "web"); err != nil || leads() != "90 % to blue, 10 % to green" {
		t.Fatalf("leads to %s: %v", leads(), err)
	}

	log := slog.New(slog.DiscardHandler)
	desk, err := alertFlags{}.desk(t.Context(), l, prometheus.NewRegistry(), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { desk.halter.Run(ctx, l.Consul, l.Keys) })
	defer running.Wait()
	defer cancel()
	fires := alerts.Alert{
		Labels: model.LabelSet{"alertname": "HighErrorRate", "service": "web"}, Firing: true, StartsAt: time.Now(), Source: alerts.Alertmanager, Receiver: "switchd",
	}
	outcomes, err := desk.halter.Take(t.Context(), []alerts.Alert{fires})
	for deadline := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		outcomes, err = desk.halter.Take(t.Context(), []alerts.Alert{fires}) // the desired state is on its way
	}
	if err != nil || len(outcomes) != 1 || outcomes[0].Effect != alerts.Halted {
		t.Fatalf("got %+v, %v", outcomes, err)
	}
	if got := leads(); got != "blue" {
		t.Errorf("the mesh leads to %s", got)
	}
}
