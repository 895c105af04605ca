package upstream_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"switchd/artifact"
	"switchd/upstream"
)

// release packs, signs and stores a release, and returns who trusts it.
func release(t *testing.T, store *artifact.Store) (artifact.Manifest, artifact.TrustedKeys) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(file, []byte("the app"), 0o600); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	info, err := artifact.Pack(t.Context(), file, &archive)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := artifact.NewManifest("web", "2.0.0", "test", noon, info)
	if err := artifact.Sign(&m, private); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), m, &archive); err != nil {
		t.Fatal(err)
	}
	return m, artifact.TrustedKeys{public}
}

func newStore(t *testing.T) *artifact.Store {
	t.Helper()
	store, err := artifact.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// serve offers a store over HTTP, as a replica does.
func serve(t *testing.T, store *artifact.Store, keys artifact.TrustedKeys) string {
	t.Helper()
	server := httptest.NewServer(artifact.NewHandler(store, artifact.Policy{Keys: keys}, slog.New(slog.DiscardHandler)))
	t.Cleanup(server.Close)
	return server.URL
}

func stores(urls ...string) artifact.Source {
	return func(context.Context) ([]string, error) { return urls, nil }
}

func TestTaker_BringsAnArchiveToEveryReplicaThatAnswers(t *testing.T) {
	t.Parallel()
	there, here, other := newStore(t), newStore(t), newStore(t)
	m, keys := release(t, there)
	taker := upstream.Taker{Store: here, Others: stores("http://127.0.0.1:1", serve(t, other, keys)), Log: slog.New(slog.DiscardHandler)}
	from := stores(serve(t, there, keys))
	for _, who := range []string{"nobody", "the other replica", "this one"} {
		switch who { // lacks it
		case "the other replica":
			if err := other.Remove(m.SHA256); err != nil {
				t.Fatal(err)
			}
		case "this one":
			if err := here.Remove(m.SHA256); err != nil {
				t.Fatal(err)
			}
		}
		if err := taker.Take(t.Context(), m, from); err != nil {
			t.Fatal(err)
		}
		if !here.Has(m.SHA256) || !other.Has(m.SHA256) {
			t.Errorf("when %s had lost it: here %v, on the other replica %v", who, here.Has(m.SHA256), other.Has(m.SHA256))
		}
	}
}

func TestTaker_FollowsNobodyElsewhereAndTakesNothingTooLarge(t *testing.T) {
	t.Parallel()
	there, here := newStore(t), newStore(t)
	m, keys := release(t, there)
	store := serve(t, there, keys)
	leads := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, store+r.URL.Path, http.StatusFound)
	}))
	t.Cleanup(leads.Close)
	taker := upstream.Taker{Store: here, Others: stores(), Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := taker.Take(ctx, m, stores(leads.URL)); err == nil || here.Has(m.SHA256) {
		t.Errorf("it was led elsewhere: %v", err)
	}
	m.Size = 1 << 40
	if err := taker.Take(ctx, m, stores(store)); err == nil || !strings.Contains(err.Error(), "more than the") {
		t.Errorf("got %v, want it to be too large", err)
	}
}
