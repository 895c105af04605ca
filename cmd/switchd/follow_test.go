package main

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"switchd/artifact"
	"switchd/consul"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestPromote_FollowsTheRolloutToItsEnd has the rollout record written step by
// step, as the engine would, and waits for the words of each.
func TestPromote_FollowsTheRolloutToItsEnd(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	// Somebody drives, or promote would say that nobody does.
	lease, err := server.Client().Acquire(t.Context(), consul.LeaseOptions{Key: consul.Keys{Env: "prod"}.Lease(), Holder: "ns1", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lease.Release(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	tests := map[string]struct {
		steps  []step
		status int
		stderr string
	}{
		"Done": {[]step{
			{rollout.Staging, "staging began", "two nodes to stage 1.0.0"},
			{rollout.Rolling, "rolling began", ""},
			{rollout.Done, "1.0.0 is live on blue", ""},
		}, statusOK, ""},
		"Failed": {[]step{
			{rollout.Smoke, "smoke began", ""},
			{rollout.Failed, "smoke failed: GET /version answered 500", ""},
		}, statusFailed, "switchd: failed 1.0.0 failed: smoke failed: GET /version answered 500\n"},
		"Halted": {[]step{
			{rollout.Canary, "canary began", ""},
			{rollout.Halted, "halted by alertmanager: HighErrorRate fires", ""},
		}, statusHalted, "switchd: halted 1.0.0 is halted: HighErrorRate fires; go on with `switchd resume halted`, or end it with `switchd rollback halted`\n"},
		"RolledBack": {[]step{
			{rollout.RolledBack, "somebody wants it back", ""},
		}, statusRolledBack, "switchd: rolledback 1.0.0 was rolled back: somebody wants it back\n"},
		"Interrupted": {[]step{
			{rollout.Staging, "staging began", ""},
		}, statusInterrupted, "switchd: interrupted; the rollout goes on without this command, `switchd status interrupted --watch` follows it\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := promoted(t, server, strings.ToLower(name))
			var want strings.Builder
			for _, s := range test.steps {
				// What is decided at the same moment is told, too.
				p.write(s, "a second event of the same time")
				for _, what := range s.words() {
					p.await(string(s.phase), what)
					want.WriteString("  TIME  " + pad(s.phase) + "  " + what + "\n")
				}
			}
			if test.status == statusInterrupted {
				p.interrupt()
			}
			if status := <-p.status; status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if got := p.stderr.String(); got != test.stderr {
				t.Errorf("standard error:\n%s\nwant\n%s", got, test.stderr)
			}
			_, got, _ := strings.Cut(regexp.MustCompile(` +\d+\.\ds`).ReplaceAllString(p.stdout.String(), "  TIME"), "\n")
			if got != want.String() {
				t.Errorf("standard output:\n%s\nwant\n%s", got, want.String())
			}
		})
	}
	t.Run("EndedBeforeItWasSeen", func(t *testing.T) {
		t.Parallel()
		// The next rollout has begun before the follower looked: the history
		// tells how its own one ended.
		p := promoted(t, server, "late")
		current, err := p.ledger.Record(t.Context(), p.service)
		if err != nil {
			t.Fatal(err)
		}
		current.Phase, current.Outcome = rollout.Failed, "a node went away"
		put(t, p.ledger.Consul, p.ledger.Keys.History(p.service, current.ID), current)
		next := *current
		next.ID, next.Phase = "another", rollout.Queued
		put(t, p.ledger.Consul, p.ledger.Keys.Rollout(p.service), &next)
		if status := <-p.status; status != statusFailed {
			t.Errorf("status %d, want %d", status, statusFailed)
		}
		if got, want := p.stderr.String(), "switchd: late 1.0.0 failed: a node went away\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// step is what the record is to say next.
type step struct {
	phase rollout.Phase
	what  string
	wait  string
}

func (s step) words() []string {
	words := []string{s.what, "a second event of the same time"}
	if s.wait != "" {
		words = append(words, "waits "+s.wait)
	}
	return words
}

func pad(p rollout.Phase) string { return string(p) + strings.Repeat(" ", 10-len(p)) }

// promotion is a `switchd promote` that follows.
type promotion struct {
	t         *testing.T
	ledger    *ledger.Ledger
	service   string
	stdout    *transcript
	stderr    *transcript
	interrupt context.CancelFunc
	status    chan int
}

// promoted declares a service, publishes a version and promotes it.
func promoted(t *testing.T, server *devconsul.Lone, service string) *promotion {
	t.Helper()
	l := &ledger.Ledger{Consul: server.Client(), Keys: consul.Keys{Env: "prod"}}
	put(t, l.Consul, l.Keys.Spec(service), spec.Service{Name: service})
	put(t, l.Consul, l.Keys.Release(service, "1.0.0"), artifact.Manifest{
		Service: service, Version: "1.0.0", Size: 1, Unpacked: 1, SHA256: strings.Repeat("0", 64),
		Format: artifact.FormatTarZstd, Created: time.Now(),
	})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	p := &promotion{
		t: t, ledger: l, service: service, interrupt: cancel, status: make(chan int, 1),
		stdout: newTranscript(), stderr: newTranscript(),
	}
	go func() {
		p.status <- run(ctx, []string{"promote", service, "1.0.0", "--env", "prod", "--http-addr", server.Addr()}, p.stdout, p.stderr)
	}()
	p.await("", "goes to blue")
	return p
}

// put writes a value as it is, which the ledger would not.
func put(t *testing.T, client *consul.Client, key string, value any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := client.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Txn(t.Context(), "put "+key, consul.CAS(key, text, entry.Index)); err != nil {
		t.Fatal(err)
	}
}

// write moves the rollout on, under a lease as the engine does.
func (p *promotion) write(s step, more ...string) {
	p.t.Helper()
	_, err := p.ledger.Do(p.t.Context(), p.service, "engine", func(now rollout.Situation) (*rollout.Change, error) {
		if now.Record == nil {
			return nil, errors.New("there is no rollout")
		}
		r, at := now.Record, time.Now().UTC()
		for _, what := range append([]string{s.what}, more...) {
			r.Timeline = append(r.Timeline, rollout.Event{At: at, Phase: s.phase, What: what})
		}
		r.Wait = nil
		if s.wait != "" {
			r.Wait = &rollout.Wait{For: s.wait, Since: at}
		}
		if s.phase == rollout.Halted {
			r.Halt = &rollout.Halt{Phase: r.Phase, By: "alertmanager", Why: "HighErrorRate fires", At: at}
		}
		r.Phase, r.Entered = s.phase, at
		if r.Phase.Ended() {
			r.Outcome = s.what
		}
		return &rollout.Change{Record: r, What: "step"}, nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// await returns when the command has printed a line with these words.
func (p *promotion) await(words ...string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	for {
		text, changed := p.stdout.now()
		for line := range strings.Lines(text) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			p.t.Fatalf("%q was not printed:\n%s%s", words, text, p.stderr.String())
		}
	}
}

// transcript is what a command has printed so far.
type transcript struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed by the next write
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (w *transcript) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.changed)
	w.changed = make(chan struct{})
	return w.text.Write(text)
}

func (w *transcript) now() (string, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String(), w.changed
}

func (w *transcript) String() string {
	text, _ := w.now()
	return text
}
