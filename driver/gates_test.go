package driver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/driver"
	"switchd/gate"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// desired applies a service's gates.
func desired(t *testing.T, w *driver.World, alerts *spec.AlertSources, s spec.Service) {
	t.Helper()
	if err := w.Apply(t.Context(), "test", &spec.Desired{Environment: spec.Environment{Name: w.Keys.Env, Alerts: alerts}, Services: []spec.Service{s}}); err != nil {
		t.Fatal(err)
	}
}

// look has a job for a gate under way until the test ends, and gives what it
// reports.
func look(t *testing.T, w *driver.World, kind rollout.JobKind, name string, s rollout.Situation) <-chan gate.Verdict {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reports, ended := make(chan gate.Verdict, 1000), make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx, rollout.Job{Rollout: "r1", Kind: kind, Gate: name}, s, func(v gate.Verdict) { reports <- v })
		if ctx.Err() == nil {
			t.Errorf("the look at %s ended by itself", name)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return reports
}

func awaitVerdict(t *testing.T, reports <-chan gate.Verdict, outcome gate.Outcome, words string) gate.Verdict {
	t.Helper()
	var last gate.Verdict
	for timeout := time.After(20 * time.Second); ; {
		select {
		case last = <-reports:
			if last.Outcome == outcome && strings.Contains(last.Why, words) {
				return last
			}
		case <-timeout:
			t.Fatalf("the last is %s: %s\nwant %s: %s", last.Outcome, last.Why, outcome, words)
		}
	}
}

func putKey(t *testing.T, client *consul.Client, key, value string) {
	t.Helper()
	if _, err := client.API().KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, (&api.WriteOptions{}).WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// TestGate_IsLookedAtAsTheSpecSays has gates of all kinds that look at the world,
// one of which is mended while it is looked at, and removed then.
func TestGate_IsLookedAtAsTheSpecSays(t *testing.T) {
	t.Parallel()
	commands := t.TempDir()
	if err := os.Chmod(commands, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(commands, "migrated"), []byte("#!/bin/sh\necho $1 $SWITCHD_ENV $SWITCHD_ROLLOUT\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var firing atomic.Bool
	alertmanager := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := "[]"
		if firing.Load() {
			answer = `[{"labels":{"alertname":"Slow","pool":"green"},"startsAt":"2026-01-02T03:04:05Z"}]`
		}
		_, _ = fmt.Fprint(w, answer)
	}))
	t.Cleanup(alertmanager.Close)
	client := devconsul.Start(t, nil).Client()
	w := &driver.World{
		Ledger: &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: "prod"}}, Log: slog.New(slog.DiscardHandler), GateCommands: commands,
	}
	s := switched()
	s.Spec.Switch = spec.Switch{}
	s.Spec.Waits = []spec.WaitFor{
		{Name: "schema", Key: "schema/{{version}}", Value: "ready"},
		{Name: "migrated", Command: []string{"migrated", "{{version}}"}},
	}
	s.Spec.Silences = []spec.Silence{{Name: "quiet", Match: []string{"pool={{pool}}"}}}
	s.Spec.Approvals = []spec.Approval{{Name: "owner", MinApprovers: 1}}
	sources := &spec.AlertSources{Alertmanager: []string{alertmanager.URL}, Every: spec.Duration(100 * time.Millisecond)}

	schema := look(t, w, rollout.JobGate, "schema", s)
	awaitVerdict(t, schema, gate.Unknown, `gate "schema" is not known: the spec can't be read: `)
	desired(t, w, sources, s.Spec)
	awaitVerdict(t, schema, gate.Unknown, `key schema/2.0.0 is not there; it must be "ready"`)
	awaitVerdict(t, look(t, w, rollout.JobGate, "migrated", s), gate.Pass, `migrated exited with status 0: "2.0.0 prod r1"`)
	quiet := look(t, w, rollout.JobGate, "quiet", s)
	awaitVerdict(t, quiet, gate.Pass, `no alert that meets pool="green" fires`)
	firing.Store(true)
	awaitVerdict(t, quiet, gate.Unknown, "alert Slow fires since 2026-01-02 03:04:05 UTC")
	awaitVerdict(t, look(t, w, rollout.JobGate, "owner", s), gate.Unknown, `the spec of web declares no gate "owner" that looks at the world`)

	putKey(t, client, "schema/2.0.0", "ready")
	awaitVerdict(t, schema, gate.Pass, `key schema/2.0.0 is "ready"`)
	s.Spec.Waits[0].Value = "done"
	desired(t, w, sources, s.Spec)
	awaitVerdict(t, schema, gate.Unknown, `gate "schema" was changed, and is looked at anew`)
	awaitVerdict(t, schema, gate.Unknown, `key schema/2.0.0 is "ready"; it must be "done"`)
	s.Spec.Waits = s.Spec.Waits[1:]
	desired(t, w, sources, s.Spec)
	awaitVerdict(t, schema, gate.Unknown, `the spec of web declares no gate "schema"`)
}
