package ledger_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestConsents_TwoPeopleAtOnceBothCount, and each of them once.
func TestConsents_TwoPeopleAtOnceBothCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Do(t.Context(), "web", "test", promote("r1")); err != nil {
		t.Fatal(err)
	}
	var speaking sync.WaitGroup
	for _, who := range []string{"alice", "bob", "domain\\carol/admin"} {
		for i := range 5 {
			speaking.Go(func() {
				c := rollout.Consent{Rollout: "r1", Gate: "owner", Who: who, At: time.Unix(int64(i), 0)}
				if err := w.Consent(t.Context(), "web", c); err != nil {
					t.Error(err)
				}
			})
		}
	}
	speaking.Wait()
	if tally := w.observe(t).Tally(spec.Approval{Name: "owner"}, time.Now()); len(tally.Given) != 3 {
		t.Errorf("%d people count: %+v", len(tally.Given), tally.Given)
	}
}

// TestConsents_BelievesTheKeyAndNothingElse: the value is what the person writes,
// the key is what Consul's ACL holds them to.
func TestConsents_BelievesTheKeyAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	consent := func(key, gate string) {
		value, err := json.Marshal(map[string]any{"rollout": "r1", "gate": gate, "who": "bob", "Who": "bob", "by": "bob"})
		if err != nil {
			t.Fatal(err)
		}
		w.put(t, w.Keys.Consents()+key, string(value))
	}
	consent("mallory/web/owner", "owner")
	consent("mallory/web/owner/deeper", "deeper")
	consent("mallory/x/web/owner", "owner")
	consent("mallory/bob/web", "web")
	consent("mallory/cart/owner", "owner")
	consent("eve/web/owner", "security") // says one gate, and stands at another
	w.put(t, w.Keys.Consent("dave", "web", "owner"), "{")
	w.put(t, w.Keys.Consent("oscar", "web", "owner"), `{"rollout":"r1","gate":"owner","why":"`+strings.Repeat("x", 5000)+`"}`)
	w.put(t, w.Keys.Bypass("mallory", "web", "smoke"), `{"rollout":"r1","gate":"smoke","why":"because"}`)
	consents, bypasses, err := w.Consents(t.Context(), web())
	if err != nil || len(consents) != 1 || consents[0].Who != "mallory" || consents[0].Gate != "owner" {
		t.Errorf("got %+v, %v", consents, err)
	}
	if len(bypasses) != 1 || bypasses[0].Who != "mallory" || bypasses[0].Why != "because" {
		t.Errorf("got %+v", bypasses)
	}
}

// TestCommit_WritesBypassesAlongOrNothing: without the right to bypass there is no
// rollout either.
func TestCommit_WritesBypassesAlongOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin := func(s rollout.Situation) (*rollout.Change, error) {
		s.Released, s.Spec.Smoke = true, []spec.Smoke{{Name: "s"}}
		return rollout.Promote(s, "r1", "2.0.0", "test", time.Now(), rollout.Bypass{Gate: "smoke", Who: "alice", By: "alice", Why: "broken"})
	}
	refused := func(s rollout.Situation) (*rollout.Change, error) {
		change, err := begin(s)
		if err == nil {
			change.Saw++
		}
		return change, err
	}
	if _, err := w.Do(t.Context(), "web", "test", refused); !errors.Is(err, consul.ErrConflict) {
		t.Fatalf("got %v, want a conflict", err)
	}
	if _, bypasses, err := w.Consents(t.Context(), web()); err != nil || len(bypasses) != 0 {
		t.Errorf("written without the rollout: %+v, %v", bypasses, err)
	}
	if _, err := w.Do(t.Context(), "web", "test", begin); err != nil {
		t.Fatal(err)
	}
	if s := w.observe(t); s.Record.ID != "r1" || len(s.Bypasses) != 1 || s.Bypasses[0].Who != "alice" || s.Bypasses[0].Rollout != "r1" {
		t.Errorf("got %+v", s.Bypasses)
	}
}

// TestForgetConsents_KeepsThoseThatCount, and needs the lease.
func TestForgetConsents_KeepsThoseThatCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Do(t.Context(), "web", "test", promote("r1")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []rollout.Consent{{Rollout: "r1", Gate: "owner", Who: "a"}, {Rollout: "r0", Gate: "owner", Who: "b"}} {
		if err := w.Consent(t.Context(), "web", c); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 70 { // more than a transaction holds
		w.put(t, w.Keys.Bypass("c", "web", fmt.Sprint("gate", i)), `{"rollout":"r0"}`)
	}
	w.put(t, w.Keys.Consent("d", "web", "owner"), "{")
	lease := w.lease(t)
	for range 2 {
		if err := w.ForgetConsents(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
	}
	left := func() []string {
		var keys []string
		for _, prefix := range []string{w.Keys.Consents(), w.Keys.Bypasses()} {
			entries, err := w.client.List(t.Context(), prefix)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				keys = append(keys, strings.TrimPrefix(e.Key, w.Keys.Prefix()))
			}
		}
		return keys
	}
	if keys := left(); len(keys) != 1 || keys[0] != "approvals/a/web/owner" {
		t.Errorf("left: %v", keys)
	}
	if _, err := w.Do(t.Context(), "web", "test", rollback); err != nil {
		t.Fatal(err)
	}
	w.destroySessions(t)
	if err := w.ForgetConsents(t.Context(), lease); !errors.Is(err, consul.ErrFenced) || len(left()) != 1 {
		t.Errorf("without the lease: %v, left %v", err, left())
	}
}

// TestConsent_NeedsTheRightToOnesOwnKeyOnly runs as somebody who may do nothing
// else, and must not speak for others.
func TestConsent_NeedsTheRightToOnesOwnKeyOnly(t *testing.T) {
	t.Parallel()
	const manager = "11111111-2222-3333-4444-555555555555"
	server := devconsul.Start(t, map[string]any{"acl": map[string]any{
		"enabled": true, "default_policy": "deny", "tokens": map[string]any{"initial_management": manager},
	}})
	as := func(token string) *ledger.Ledger {
		client, err := consul.NewClient(consul.Flags{HTTPAddr: server.Addr(), Token: token})
		if err != nil {
			t.Fatal(err)
		}
		return &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: "prod"}}
	}
	root := as(manager)
	token, _, err := root.Consul.API().ACL().TokenCreate(&api.ACLToken{Description: "release owner"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	alice := as(token.SecretID)
	who, name, err := alice.Consul.Whose(t.Context())
	if err != nil || who != token.AccessorID || name != token.Description {
		t.Fatalf("accessor %s of %s, %v, want %s of %s", who, name, err, token.AccessorID, token.Description)
	}
	policy, _, err := root.Consul.API().ACL().PolicyCreate(&api.ACLPolicy{Name: "alice", Rules: `
		key_prefix "switchd/prod/" { policy = "read" }
		key_prefix "switchd/prod/approvals/` + who + `/" { policy = "write" }`}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token.Policies = []*api.ACLTokenPolicyLink{{ID: policy.ID}}
	if _, _, err := root.Consul.API().ACL().TokenUpdate(token, nil); err != nil {
		t.Fatal(err)
	}
	if err := alice.Consent(t.Context(), "web", rollout.Consent{Rollout: "r1", Gate: "owner", Who: who}); err != nil {
		t.Errorf("in her own name: %v", err)
	}
	if err := alice.Consent(t.Context(), "web", rollout.Consent{Rollout: "r1", Gate: "owner", Who: "bob"}); !errors.Is(err, consul.ErrDenied) {
		t.Errorf("in another's name: %v", err)
	}
	if err := alice.Bypass(t.Context(), "web", rollout.Bypass{Rollout: "r1", Gate: "owner", Who: who}); !errors.Is(err, consul.ErrDenied) {
		t.Errorf("a bypass: %v", err)
	}
	if _, _, err := as("99999999-2222-3333-4444-555555555555").Consul.Whose(t.Context()); !errors.Is(err, consul.ErrDenied) {
		t.Errorf("an unknown token: %v", err)
	}
}

// TestWhose_IsNobodysWhereACLsAreOff: then it is the account that counts.
func TestWhose_IsNobodysWhereACLsAreOff(t *testing.T) {
	t.Parallel()
	client := devconsul.Start(t, nil).Client()
	if who, name, err := client.Whose(t.Context()); err != nil || who != "" || name != "" {
		t.Errorf("got %q, %q, %v", who, name, err)
	}
	away, err := consul.NewClient(consul.Flags{HTTPAddr: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if who, _, err := away.Whose(t.Context()); !errors.Is(err, consul.ErrUnreachable) {
		t.Errorf("got %q, %v", who, err)
	}
}

// through is the same ledger with what lies between it and Consul.
func (w world) through(t *testing.T, between func(next http.Handler) http.Handler) *ledger.Ledger {
	t.Helper()
	proxy := httptest.NewServer(between(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: w.client.Addr()})
	}}))
	t.Cleanup(proxy.Close)
	client, err := consul.NewClient(consul.Flags{HTTPAddr: proxy.Listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	return &ledger.Ledger{Consul: client, Keys: w.Keys}
}

// TestRollback_NeedsNobodysWord: what people have said of gates, and whether that
// can be read, must not keep users from the former version.
func TestRollback_NeedsNobodysWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Do(t.Context(), "web", "test", promote("r1")); err != nil {
		t.Fatal(err)
	}
	deaf := w.through(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/approvals") || strings.Contains(r.URL.Path, "/bypasses") {
				http.Error(rw, "too much", http.StatusForbidden)
				return
			}
			next.ServeHTTP(rw, r)
		})
	})
	if _, err := deaf.Observe(t.Context(), "web"); !errors.Is(err, consul.ErrDenied) {
		t.Fatalf("the engine went on without knowing who has refused: %v", err)
	}
	if _, err := deaf.Do(t.Context(), "web", "test", rollback); err != nil {
		t.Error(err)
	}
}

// TestConsents_ReadsOnlyWhatIsAboutGates of the service, whatever else somebody
// puts below their own name.
func TestConsents_ReadsOnlyWhatIsAboutGates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const large = 256 << 10
	for i := range 8 {
		w.put(t, w.Keys.Consent("mallory", "web", fmt.Sprint("gate", i)), strings.Repeat("x", large))
		w.put(t, w.Keys.Consent("mallory", fmt.Sprint("service", i), "owner"), strings.Repeat("x", large))
	}
	w.put(t, w.Keys.Consent("alice", "web", "owner"), `{"rollout":"r1","gate":"owner","by":"alice\u001b[2J\nbob","why":"\u001b]0;x"}`)
	var asked atomic.Int32
	counted := w.through(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			next.ServeHTTP(rw, r)
		})
	})
	consents, _, err := counted.Consents(t.Context(), web())
	if err != nil || len(consents) != 1 || consents[0].By != "alice [2J bob" || consents[0].Why != " ]0;x" {
		t.Errorf("got %+v, %v", consents, err)
	}
	if n := asked.Load(); n != 3 { // two lists of names, one word
		t.Errorf("Consul was asked %d times", n)
	}
}
