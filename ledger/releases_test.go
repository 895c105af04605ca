package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"pgregory.net/rapid"

	"switchd/artifact"
	"switchd/consul"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// publish publishes versions of web with archives of their own, each a day
// after the one before it.
func (w world) publish(t *testing.T, versions ...string) {
	t.Helper()
	for i, version := range versions {
		m := artifact.NewManifest("web", version, "test", time.Unix(1e9, 0).AddDate(0, 0, i), artifact.Info{
			Size: int64(i+1) << 20, Unpacked: 1, SHA256: fmt.Sprintf("%064x", i+1),
		})
		if err := w.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

// versions are those in Consul, the newest first.
func (w world) versions(t *testing.T) string {
	t.Helper()
	published, err := w.Published(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, p := range published {
		versions = append(versions, p.Version)
	}
	return strings.Join(versions, " ")
}

func TestPublished_SaysWhereEachReleaseIsInUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // 1.0.0 is live on blue, 2.0.0 the former release, which green runs.
	w.publish(t, "0.9.0", "1.0.0", "2.0.0", "3.0.0", "4.0.0", "5.0.0", "6.0.0")
	w.node(t, "b2", spec.Blue, "3.0.0", api.HealthCritical)
	w.node(t, "g2", spec.Green, "2.0.0", api.HealthCritical)
	w.put(t, w.Keys.Staging("web", "4.0.0", "g1"), `{}`)
	w.put(t, w.Keys.Staging("web", "4.0.0", "g2"), `not even a report`)
	id := ""
	if _, err := w.Do(t.Context(), "web", "test", func(s rollout.Situation) (*rollout.Change, error) {
		s.Released = true
		id = ledger.NewID("web", "5.0.0", time.Now())
		return rollout.Promote(s, id, "5.0.0", "test", time.Now())
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"6.0.0: ",
		"5.0.0: rollout " + id + " (queued)",
		"4.0.0: staged (2 nodes)",
		"3.0.0: live pool (1 node)",
		"2.0.0: rollback target, idle pool (2 nodes)",
		"1.0.0: live (blue)",
		"0.9.0: ",
	}
	published, err := w.Published(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range published {
		got = append(got, p.Version+": "+p.InUse())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// When the rollout has ended, what it came from still counts.
	w.put(t, w.Keys.Rollout("web"), `{"id":"r","service":"web","version":"5.0.0","pool":"green","from":{"pool":"blue","version":"0.9.0"},"phase":"failed","timeline":[]}`)
	published, err = w.Published(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if got := published[6].InUse() + "; " + published[1].InUse(); got != "live before the last rollout; " {
		t.Errorf("after its end: %s", got)
	}
	if names, err := w.Publishers(t.Context()); err != nil || !slices.Equal(names, []string{"web"}) {
		t.Errorf("publishers: %v, %v", names, err)
	}
}

func TestPrune_RemovesJustWhatNothingNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, "0.7.0", "0.8.0", "0.9.0", "1.0.0", "2.0.0", "3.0.0", "4.0.0")
	// The same archive under another service's name is not freed.
	twin := artifact.NewManifest("api", "1", "test", time.Unix(1e9, 0), artifact.Info{Size: 1 << 20, Unpacked: 1, SHA256: fmt.Sprintf("%064x", 1)})
	if err := w.Publish(t.Context(), twin); err != nil {
		t.Fatal(err)
	}
	before := w.everything(t)
	retention := ledger.Retention{Newest: 1, OlderThan: time.Hour}
	now := time.Unix(1e9, 0).AddDate(0, 0, 5).Add(30 * time.Minute) // 3.0.0 is half an hour old.
	dry, err := w.JudgeReleases(t.Context(), "web", retention, now)
	if err != nil {
		t.Fatal(err)
	}
	if w.everything(t) != before {
		t.Error("to judge has changed something")
	}
	verdicts, err := w.PruneReleases(t.Context(), "web", "test", retention, now)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"4.0.0 false the newest 0",
		"3.0.0 false not old enough 0",
		"2.0.0 false rollback target, idle pool (1 node) 0",
		"1.0.0 false live (blue) 0",
		"0.9.0 true not in use 3145728",
		"0.8.0 true not in use 2097152",
		"0.7.0 true not in use 0",
	}
	for name, verdicts := range map[string][]ledger.Verdict{"judged": dry, "pruned": verdicts} {
		var got []string
		for _, v := range verdicts {
			got = append(got, fmt.Sprintf("%s %t %s %d", v.Version, v.Removed, v.Why, v.Freed))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if got := w.versions(t); got != "4.0.0 3.0.0 2.0.0 1.0.0" {
		t.Errorf("left are %s", got)
	}
	digests, err := w.Digests(t.Context())
	if got := slices.Sorted(maps.Keys(digests)); err != nil || len(got) != 5 || got[0] != twin.SHA256 {
		t.Errorf("digests: %v, %v", got, err)
	}
	if _, err := w.PruneReleases(t.Context(), "wbe", "test", retention, now); !errors.Is(err, ledger.ErrUnknownService) {
		t.Errorf("an unknown service: %v", err)
	}
}

// TestPrune_ManyAtOnceAndMoreThanOneTransaction has several pruners and
// somebody who changes the live record again and again.
func TestPrune_ManyAtOnceAndMoreThanOneTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	versions := []string{"1.0.0", "2.0.0"}
	for i := range 150 {
		versions = append(versions, fmt.Sprintf("3.%d.0", i))
	}
	w.publish(t, versions...)
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			verdicts, err := w.PruneReleases(t.Context(), "web", "test", ledger.Retention{Newest: 2}, time.Now())
			if err != nil && !errors.Is(err, consul.ErrConflict) {
				t.Error(err)
			}
			for _, v := range verdicts {
				if v.Removed && len(v.Uses) > 0 {
					t.Errorf("%s is removed: %s", v.Version, v.InUse())
				}
			}
		})
	}
	group.Go(func() {
		for i := range 10 {
			if _, err := w.Do(t.Context(), "web", "test", shift(i)); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	if _, err := w.PruneReleases(t.Context(), "web", "test", ledger.Retention{Newest: 2}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := w.versions(t); got != "3.149.0 3.148.0 2.0.0 1.0.0" {
		t.Errorf("left are %s", got)
	}
}

func TestPrune_LosesAgainstWhoeverUsesAReleaseMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, "0.9.0", "1.0.0", "2.0.0")
	fence := &racing{t: t, w: w}
	err := w.RemoveReleases(t.Context(), fence, "web", ledger.Retention{})
	if !errors.Is(err, consul.ErrConflict) || !fence.raced {
		t.Errorf("error is %v, want ErrConflict", err)
	}
	if got := w.versions(t); got != "2.0.0 1.0.0 0.9.0" {
		t.Errorf("left are %s", got)
	}
}

// racing makes a version live between the look and the removal.
type racing struct {
	t     *testing.T
	w     world
	raced bool
}

func (r *racing) Guard() (consul.Op, error) {
	r.raced = true
	if _, err := r.w.Do(r.t.Context(), "web", "test", func(s rollout.Situation) (*rollout.Change, error) {
		live := s.Live.Next("test", time.Now())
		live.Version = "0.9.0"
		return &rollout.Change{Live: live, What: "race"}, nil
	}); err != nil {
		r.t.Error(err)
	}
	return r.w.lease(r.t).Guard()
}

func TestPrune_RemovesNothingOnALookThatCantBeTrusted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, "0.9.0", "1.0.0", "2.0.0")
	prune := func(want string, is error) {
		t.Helper()
		_, err := w.PruneReleases(t.Context(), "web", "test", ledger.Retention{}, time.Now())
		if err == nil || !strings.Contains(err.Error(), want) || is != nil && !errors.Is(err, is) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
		entries, err := w.Consul.List(t.Context(), w.Keys.Releases("web"))
		if err != nil || len(entries) < 3 {
			t.Errorf("%d releases are left, %v", len(entries), err)
		}
	}
	// A manifest by a later version of switchd.
	w.put(t, w.Keys.Release("web", "4.0.0"), `{"service":"web","version":"4.0.0","colour":"mauve"}`)
	prune("releases/web/4.0.0", nil)
	if _, err := w.Digests(t.Context()); err == nil || !strings.Contains(err.Error(), "releases/web/4.0.0") {
		t.Errorf("digests: %v", err)
	}
	if err := w.Consul.Delete(t.Context(), w.Keys.Release("web", "4.0.0")); err != nil {
		t.Fatal(err)
	}
	// A live release without a manifest.
	w.put(t, w.Keys.Live("api"), `{"service":"api","pool":"blue","version":"7","generation":1}`)
	if _, err := w.Digests(t.Context()); err == nil || !strings.Contains(err.Error(), "api 7 is live") {
		t.Errorf("digests: %v", err)
	}
	// A catalog that knows nobody.
	for _, node := range []string{"b1", "g1"} {
		if _, err := w.client.API().Catalog().Deregister(&api.CatalogDeregistration{Node: node}, nil); err != nil {
			t.Fatal(err)
		}
	}
	prune("1.0.0 on blue is live", ledger.ErrNobodyRuns)
}

// TestPrune_NeedsToSeeEverything has tokens that may read only a part, which
// Consul leaves out without a word.
func TestPrune_NeedsToSeeEverything(t *testing.T) {
	t.Parallel()
	const manager = "11111111-2222-3333-4444-555555555555"
	server := devconsul.Start(t, map[string]any{"acl": map[string]any{
		"enabled": true, "default_policy": "deny", "tokens": map[string]any{"initial_management": manager},
	}})
	client, err := consul.NewClient(consul.Flags{HTTPAddr: server.Addr(), Token: manager})
	if err != nil {
		t.Fatal(err)
	}
	all := world{&ledger.Ledger{Consul: client, Keys: consul.Keys{Env: "prod"}}, client}
	all.publish(t, "0.9.0", "1.0.0")
	all.node(t, "b1", spec.Blue, "0.9.0", api.HealthPassing)
	const kv, sessions = `key_prefix "switchd/prod/" { policy = "write" }`, `session_prefix "" { policy = "write" }`
	const nodes, services = `node_prefix "" { policy = "read" }`, `service_prefix "" { policy = "read" }`
	const part = `key_prefix "switchd/prod/" { policy = "write" } key "switchd/prod/releases/web/0.9.0" { policy = "deny" }`
	for name, test := range map[string]struct {
		rules          string
		prune, digests bool
	}{
		"all":           {kv + sessions + nodes + services, true, true},
		"no nodes":      {kv + sessions + services, false, true},
		"no services":   {kv + sessions + nodes, false, true},
		"some releases": {part + sessions + nodes + services, false, false},
	} {
		policy, _, err := client.API().ACL().PolicyCreate(&api.ACLPolicy{Name: strings.ReplaceAll(name, " ", "-"), Rules: test.rules}, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := client.API().ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: policy.ID}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		limited, err := consul.NewClient(consul.Flags{HTTPAddr: server.Addr(), Token: token.SecretID})
		if err != nil {
			t.Fatal(err)
		}
		l := &ledger.Ledger{Consul: limited, Keys: consul.Keys{Env: "prod"}}
		if _, err := l.JudgeReleases(t.Context(), "web", ledger.Retention{}, time.Now()); test.prune != (err == nil) || err != nil && !errors.Is(err, consul.ErrDenied) {
			t.Errorf("%s: judge: %v", name, err)
		}
		if _, err := l.Digests(t.Context()); test.digests != (err == nil) || err != nil && !errors.Is(err, consul.ErrDenied) {
			t.Errorf("%s: digests: %v", name, err)
		}
	}
}

func TestRetention_KeepsWhatIsInUseNewOrYoungAndNothingElse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1e9, 0)
		retention := ledger.Retention{
			Newest:    rapid.IntRange(0, 5).Draw(t, "newest"),
			OlderThan: time.Duration(rapid.IntRange(0, 5).Draw(t, "days")) * 24 * time.Hour,
		}
		var releases []ledger.Published
		for i := range rapid.IntRange(0, 10).Draw(t, "releases") {
			m := manifest(fmt.Sprintf("%d", i), "a")
			m.Created = now.Add(-time.Duration(rapid.IntRange(-24, 200).Draw(t, "age")) * time.Hour)
			var uses []ledger.Use
			if rapid.Bool().Draw(t, "in use") {
				uses = append(uses, ledger.Use{Kind: rapid.SampledFrom([]ledger.UseKind{
					ledger.UseLive, ledger.UsePrevious, ledger.UseRuns, ledger.UseRollout, ledger.UseFormer, ledger.UseStaged,
				}).Draw(t, "use")})
			}
			releases = append(releases, ledger.Published{Manifest: m, Uses: uses})
		}
		verdicts := retention.Judge(releases, now)
		if len(verdicts) != len(releases) {
			t.Fatalf("%d verdicts on %d releases", len(verdicts), len(releases))
		}
		for i, v := range verdicts {
			if v.Version != releases[i].Version || v.Why == "" {
				t.Fatalf("verdict %d: %+v", i, v)
			}
			keep := len(v.Uses) > 0 || i < retention.Newest || retention.OlderThan > 0 && v.Created.Add(retention.OlderThan).After(now)
			if v.Removed == keep {
				t.Fatalf("%+v: removed is %t", v, v.Removed)
			}
		}
	})
}
