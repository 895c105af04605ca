package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"switchd/consul"
	"switchd/rollout"
	"switchd/spec"
)

// follow has prod come after staging.
func (w world) follow(t *testing.T, after *spec.Upstream) {
	t.Helper()
	d := desired(web())
	d.Environment.After = after
	if err := w.Apply(t.Context(), "test", d); err != nil {
		t.Fatal(err)
	}
}

func TestEligible_IsWhatIsKnownOfTheEnvironmentThatTheSpecNamesNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lease := w.lease(t)
	if e := w.observe(t).Eligible; e != nil {
		t.Errorf("without an environment before: %+v", e)
	}
	w.follow(t, &spec.Upstream{Environment: "staging", For: spec.Duration(time.Hour)})
	if e := w.observe(t).Eligible; e == nil || e.Eligible("2.0.0") || !e.Seen.IsZero() || e.Upstream != "staging" {
		t.Errorf("before it was read: %+v", e)
	}
	now := time.Now().UTC()
	known := rollout.Eligibility{Upstream: "staging", Service: "web", Version: "2.0.0", Done: now.Add(-90 * time.Minute), Seen: now, Release: "digest"}
	if err := w.KeepEligible(t.Context(), lease, known); err != nil {
		t.Fatal(err)
	}
	contact := rollout.Contact{Upstream: "staging", At: now, Error: "connection refused", Since: now}
	for range 2 {
		if err := w.KeepContact(t.Context(), lease, contact); err != nil {
			t.Fatal(err)
		}
	}
	e := w.observe(t).Eligible
	if !e.Eligible("2.0.0") || e.Contact != contact || !e.Done.Equal(known.Done) {
		t.Errorf("got %+v", e)
	}
	// Nobody prunes what is to come.
	kept := manifest("2.0.0", "a")
	known.Release, known.Index = kept.SHA256, e.Index
	if err := errors.Join(w.Publish(t.Context(), kept), w.KeepEligible(t.Context(), lease, known)); err != nil {
		t.Fatal(err)
	}
	if found, err := w.Published(t.Context(), "web"); err != nil || len(found) != 1 || len(found[0].Uses) == 0 {
		t.Errorf("got %+v, %v", found, err)
	}
	// It is as the spec asks now, not as it asked when it was written.
	w.follow(t, &spec.Upstream{Environment: "staging", For: spec.Duration(2 * time.Hour)})
	if w.observe(t).Eligible.Eligible("2.0.0") {
		t.Error("eligible after 90m of 2h")
	}
	w.follow(t, &spec.Upstream{Environment: "preprod"})
	if e := w.observe(t).Eligible; e.Version != "" || e.Contact.Error != "" {
		t.Errorf("what is known of staging counts for preprod: %+v", e)
	}
	// While a rollout is under way, nobody asks.
	w.follow(t, &spec.Upstream{Environment: "staging"})
	if _, err := w.Do(t.Context(), "web", "test", promote("r1")); err != nil {
		t.Fatal(err)
	}
	if e := w.observe(t).Eligible; e != nil {
		t.Errorf("got %+v", e)
	}
}

// TestContact_ThatCantBeReadKeepsNobodyFromARollback: nobody is eligible by it
// either, until it is written over.
func TestContact_ThatCantBeReadKeepsNobodyFromARollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lease := w.lease(t)
	w.follow(t, &spec.Upstream{Environment: "staging"})
	now := time.Now()
	known := rollout.Eligibility{Upstream: "staging", Service: "web", Version: "3.0.0", Done: now.Add(-time.Hour), Seen: now, Release: "digest"}
	if err := w.KeepEligible(t.Context(), lease, known); err != nil {
		t.Fatal(err)
	}
	if e := w.observe(t).Eligible; !e.Eligible("3.0.0") {
		t.Fatalf("before it is broken: %+v", e)
	}
	w.put(t, w.Keys.Upstream(), "broken")
	e := w.observe(t).Eligible
	if lacks := e.Lacks("3.0.0", now); e.Eligible("3.0.0") || e.Release != known.Release || !strings.HasPrefix(lacks, "how environment staging is read is not known: parse switchd/prod/upstream in Consul: ") {
		t.Errorf("while it is broken: %q, %+v", lacks, e)
	}
	change, err := w.Do(t.Context(), "web", "test", rollback)
	if err != nil {
		t.Fatal(err)
	}
	if live := change.Live; live.Version != "2.0.0" {
		t.Errorf("%s is live", live.Version)
	}
	if err := w.KeepContact(t.Context(), lease, rollout.Contact{Upstream: "staging", At: now}); err != nil {
		t.Fatal(err)
	}
	if e := w.observe(t).Eligible; !e.Eligible("3.0.0") {
		t.Errorf("when it is mended: %+v", e)
	}
}

func TestKeepEligible_WritesManyUnderTheLeaseOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lease := w.lease(t)
	var many []rollout.Eligibility
	for i := range 150 {
		many = append(many, rollout.Eligibility{Upstream: "staging", Service: fmt.Sprintf("s%d", i), Version: "1.0.0", Seen: time.Now()})
	}
	if err := w.KeepEligible(t.Context(), lease, many...); err != nil {
		t.Fatal(err)
	}
	if err := w.KeepEligible(t.Context(), lease, many[0]); !errors.Is(err, consul.ErrConflict) {
		t.Errorf("over what it has not seen: %v", err)
	}
	entries, err := w.client.List(t.Context(), w.Keys.Eligibles())
	if err != nil || len(entries) != len(many) {
		t.Fatalf("there are %d of %d (%v)", len(entries), len(many), err)
	}
	gone := make([]rollout.Eligibility, 0, len(entries))
	for _, e := range entries {
		gone = append(gone, rollout.Eligibility{Service: consul.Base(e.Key), Index: e.Index})
	}
	if err := w.KeepEligible(t.Context(), lease, gone...); err != nil {
		t.Fatal(err)
	}
	if entries, err = w.client.List(t.Context(), w.Keys.Eligibles()); err != nil || len(entries) > 0 {
		t.Errorf("%d are left (%v)", len(entries), err)
	}
	w.destroySessions(t)
	if err := w.KeepEligible(t.Context(), lease, many[0]); !errors.Is(err, consul.ErrFenced) {
		t.Errorf("without the lease: %v", err)
	}
	if err := w.KeepContact(t.Context(), lease, rollout.Contact{Upstream: "staging"}); !errors.Is(err, consul.ErrFenced) {
		t.Errorf("without the lease: %v", err)
	}
}
