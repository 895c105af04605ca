package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"switchd/artifact"
)

// age makes a file or a directory look as if it was last wanted some time ago.
func age(t testing.TB, path string, by time.Duration) {
	t.Helper()
	at := time.Now().Add(-by)
	must(t, os.Chtimes(path, at, at))
}

func TestStore_PrunesWhatNobodyWantsOnceItIsOld(t *testing.T) {
	t.Parallel()
	s, dir := newStore(t)
	named, fresh, old, offered := newRelease(t, 1000), newRelease(t, 2000), newRelease(t, 3000), newRelease(t, 4000)
	for _, r := range []release{named, fresh, old, offered} {
		must(t, s.Put(within(t), r.manifest, bytes.NewReader(r.archive)))
	}
	for _, r := range []release{named, old, offered} {
		age(t, s.Path(r.digest()), 2*time.Hour)
	}
	// A publisher offers it again: its manifest is about to be written.
	server := serve(t, s, artifact.Policy{Keys: offered.keys})
	if had, err := uploader(t).Upload(within(t), server.URL, offered.manifest, bytes.NewReader(offered.archive)); !had || err != nil {
		t.Fatalf("had %t, %v", had, err)
	}
	write(t, filepath.Join(dir, strings.Repeat("0", 64)+".upload.part"), "half", 0o600)
	write(t, filepath.Join(dir, strings.Repeat("1", 64)+".upload.part"), "half", 0o600)
	age(t, filepath.Join(dir, strings.Repeat("1", 64)+".upload.part"), 25*time.Hour)
	write(t, filepath.Join(dir, "strange"), "not ours", 0o600)
	age(t, filepath.Join(dir, "strange"), 1000*time.Hour)

	var dropped []string
	pruned, err := s.Prune(within(t), time.Hour, func(digest string) bool { return digest == named.digest() }, func(digest string) {
		if !s.Has(digest) {
			t.Error("it is dropped when it is gone")
		}
		dropped = append(dropped, digest)
	})
	must(t, err)
	if want := []artifact.Pruned{{Path: s.Path(old.digest()), Bytes: old.manifest.Size}}; !slices.Equal(pruned, want) || !slices.Equal(dropped, []string{old.digest()}) {
		t.Errorf("pruned %v, dropped %v, want %v", pruned, dropped, want)
	}
	want := []string{named.digest(), fresh.digest(), offered.digest(), strings.Repeat("0", 64) + ".upload.part", "strange"}
	slices.Sort(want)
	if got := entries(t, dir); !slices.Equal(got, want) {
		t.Errorf("the store holds %q, want %q", got, want)
	}
}

func TestSweeper_RemovesNothingUnlessItKnowsWhatIsNamed(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1000)
	other := strings.Repeat("0", 64)
	for name, test := range map[string]struct {
		named map[string]bool
		err   error
		stays bool
	}{
		"an error":          {map[string]bool{other: true}, errors.New("consul is away"), true},
		"an empty answer":   {map[string]bool{}, nil, true},
		"no answer":         {nil, nil, true},
		"it is named":       {map[string]bool{r.digest(): true}, nil, true},
		"another one is":    {map[string]bool{other: true}, nil, false},
		"it is named false": {map[string]bool{r.digest(): false, other: true}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStore(t)
			must(t, s.Put(within(t), r.manifest, bytes.NewReader(r.archive)))
			age(t, s.Path(r.digest()), 25*time.Hour)
			ctx, cancel := context.WithCancel(within(t))
			calls := 0
			sweeper := &artifact.Sweeper{
				Store: s, Every: time.Millisecond, Log: slog.New(slog.DiscardHandler),
				Digests: func(context.Context) (map[string]bool, error) {
					if calls++; calls == 3 { // Two sweeps are over.
						cancel()
						return nil, ctx.Err()
					}
					return test.named, test.err
				},
			}
			sweeper.Run(ctx)
			if s.Has(r.digest()) != test.stays {
				t.Errorf("it stays: %t, want %t", !test.stays, test.stays)
			}
		})
	}
}

func TestSweeper_SweepsAtOnceAndThenEveryHour(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var at []time.Duration
		began := time.Now()
		sweeper := &artifact.Sweeper{Store: s, Log: slog.New(slog.DiscardHandler), Digests: func(context.Context) (map[string]bool, error) {
			if at = append(at, time.Since(began)); len(at) == 3 {
				cancel()
			}
			return nil, errors.New("away")
		}}
		sweeper.Run(ctx)
		if want := []time.Duration{0, time.Hour, 2 * time.Hour}; !slices.Equal(at, want) {
			t.Errorf("it swept at %v, want %v", at, want)
		}
	})
}

// stagedNode is a node on which releases of two services are staged, each of
// them some hours ago.
type stagedNode struct {
	*artifact.Stager

	root string
}

func newStagedNode(t *testing.T, services map[string]int) stagedNode {
	t.Helper()
	root := t.TempDir()
	keys := artifact.TrustedKeys{}
	n := stagedNode{root: root}
	archives := map[string][]byte{}
	var manifests []artifact.Manifest
	for _, service := range slices.Sorted(maps.Keys(services)) {
		for i := range services[service] {
			src := t.TempDir()
			write(t, filepath.Join(src, "bin", "app"), fmt.Sprintf("%s %d", service, i), 0o755)
			must(t, os.Chmod(filepath.Join(src, "bin"), 0o555)) // One that forbids to remove what is in it.
			var archive bytes.Buffer
			info, err := artifact.Pack(t.Context(), src, &archive)
			must(t, err)
			must(t, os.Chmod(filepath.Join(src, "bin"), 0o755))
			key, trusted := newKey(t)
			keys = append(keys, trusted...)
			m := artifact.NewManifest(service, fmt.Sprintf("%d.0.0-rc-1", i+1), "ana", published, info)
			must(t, artifact.Sign(&m, key))
			archives[m.SHA256], manifests = archive.Bytes(), append(manifests, m)
		}
	}
	server := bad(t, func(w http.ResponseWriter, req *http.Request) {
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(archives[filepath.Base(req.URL.Path)]))
	})
	var err error
	n.Stager, err = artifact.NewStager(root, keys, fetcher(t, sources(server.URL)))
	must(t, err)
	for i, m := range manifests {
		dir, err := n.Stage(within(t), m, nil)
		must(t, err)
		by := time.Duration(len(manifests)-i) * 2 * time.Hour
		age(t, dir, by)
		age(t, n.Archives().Path(m.SHA256), by)
	}
	return n
}

// staged lists what is staged, by service, the one that was wanted last first.
func (n stagedNode) staged(t *testing.T) string {
	t.Helper()
	staged, err := n.Staged()
	must(t, err)
	names := []string{}
	for _, s := range staged {
		names = append(names, s.Service+" "+strings.TrimSuffix(s.Version, ".0.0-rc-1"))
	}
	return strings.Join(names, ", ")
}

// wantStaged fails unless just that is staged, each release with its archive
// and nothing beside.
func (n stagedNode) wantStaged(t *testing.T, want string) {
	t.Helper()
	if got := n.staged(t); got != want {
		t.Errorf("left are %q, want %q", got, want)
	}
	staged, err := n.Staged()
	must(t, err)
	archives := entries(t, filepath.Join(n.root, ".archives"))
	for _, s := range staged {
		if !strings.Contains(strings.Join(archives, " "), s.Digest) {
			t.Errorf("%s %s has no archive", s.Service, s.Version)
		}
	}
	if len(staged) != len(archives) {
		t.Errorf("%d releases have %d archives", len(staged), len(archives))
	}
}

func always(artifact.Staged) bool { return true }
func never(artifact.Staged) bool  { return false }

func TestStager_PrunesBeyondTheNewestAndWhatIsNeeded(t *testing.T) {
	t.Parallel()
	first := func(s artifact.Staged) bool { return strings.HasPrefix(s.Version, "1.") }
	for name, test := range map[string]struct {
		retention artifact.Retention
		want      string
	}{
		"the newest three":        {artifact.Retention{Needed: never, Published: always}, "api 2, api 1, web 5, web 4, web 3"},
		"the newest one":          {artifact.Retention{Needed: never, Published: always, Newest: 1}, "api 2, web 5"},
		"what runs":               {artifact.Retention{Needed: first, Published: always, Newest: 1}, "api 2, api 1, web 5, web 1"},
		"nothing published":       {artifact.Retention{Needed: never, Published: never}, ""},
		"what runs, gone":         {artifact.Retention{Needed: first, Published: never}, "api 1, web 1"},
		"only the first is there": {artifact.Retention{Needed: never, Published: first}, "api 1, web 1"},
		"too young":               {artifact.Retention{Needed: never, Published: never, MinAge: 7 * time.Hour}, "web 5, web 4, web 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newStagedNode(t, map[string]int{"web": 5, "api": 2})
			pruned, err := n.Prune(within(t), test.retention)
			must(t, err)
			n.wantStaged(t, test.want)
			for _, p := range pruned {
				if _, err := os.Stat(p.Path); err == nil {
					t.Errorf("%s is there still", p.Path)
				}
			}
			again, err := n.Prune(within(t), test.retention)
			must(t, err)
			if len(again) != 0 {
				t.Errorf("pruned twice: %v", again)
			}
		})
	}
}

// TestStager_KeepsWhatItIsAskedFor stages releases again that are old: whoever
// asked is about to need them.
func TestStager_KeepsWhatItIsAskedFor(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1000)
	root := t.TempDir()
	s, err := artifact.NewStager(root, r.keys, fetcher(t, sources(good(t, r).URL)))
	must(t, err)
	dir, err := s.Stage(within(t), r.manifest, nil)
	must(t, err)
	age(t, dir, 100*time.Hour)
	age(t, s.Archives().Path(r.digest()), 100*time.Hour)
	_, err = s.Stage(within(t), r.manifest, nil)
	must(t, err)
	pruned, err := s.Prune(within(t), artifact.Retention{Needed: never, Published: never})
	must(t, err)
	if _, err := os.Stat(dir); err != nil || len(pruned) != 0 {
		t.Errorf("pruned %v, %v", pruned, err)
	}
}

// TestStager_ARemovalThatWasCutOffLeavesNothingWhole removes for real up to
// the rename, which is what a kill may leave.
func TestStager_ARemovalThatWasCutOffLeavesNothingWhole(t *testing.T) {
	t.Parallel()
	n := newStagedNode(t, map[string]int{"web": 2})
	staged, err := n.Staged()
	must(t, err)
	away := filepath.Join(n.root, "web", ".tmp-removed")
	must(t, os.Mkdir(away, 0o700))
	must(t, os.Rename(staged[1].Dir, filepath.Join(away, filepath.Base(staged[1].Dir))))
	if got := n.staged(t); got != "web 2" {
		t.Errorf("staged are %q", got)
	}
	_, err = artifact.NewStager(n.root, nil, nil)
	must(t, err)
	if got := entries(t, filepath.Join(n.root, "web")); len(got) != 1 {
		t.Errorf("after the start there is %q", got)
	}
	// The archive that the cut-off left goes with the next prune.
	_, err = n.Prune(within(t), artifact.Retention{Needed: never, Published: always})
	must(t, err)
	n.wantStaged(t, "web 2")
}

func TestStaged_ReadsWhatDirWrites(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s, err := artifact.NewStager(root, nil, nil)
	must(t, err)
	rapid.Check(t, func(t *rapid.T) {
		m := artifact.Manifest{
			Service: rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?`).Draw(t, "service"),
			Version: rapid.StringMatching(`[0-9A-Za-z][0-9A-Za-z.+_-]{0,12}`).Draw(t, "version"),
			SHA256:  rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "sha256"),
		}
		dir := s.Dir(m)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
				t.Error(err)
			}
		}()
		staged, err := s.Staged()
		if err != nil {
			t.Fatal(err)
		}
		if len(staged) != 1 || staged[0].Service != m.Service || staged[0].Version != m.Version || !strings.HasPrefix(m.SHA256, staged[0].Digest) || staged[0].Dir != dir {
			t.Fatalf("%+v is read as %+v", m, staged)
		}
	})
}

func TestStager_PrunesWhatAFetchThatWasGivenUpHasLeft(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1000)
	root := t.TempDir()
	s, err := artifact.NewStager(root, r.keys, nil)
	must(t, err)
	archives := artifact.Archives(root)
	name := func(digit, suffix string) string { return filepath.Join(archives, strings.Repeat(digit, 64)+suffix) }
	old := []string{name("1", ".part"), name("2", artifact.SwarmPartSuffix)}
	stay := []string{name("3", ".part"), name("4", artifact.SwarmPartSuffix), filepath.Join(archives, "strange.part")}
	for _, path := range slices.Concat(old, stay) {
		write(t, path, "half", 0o600)
	}
	for _, path := range append(old, stay[2]) {
		age(t, path, 2*time.Hour)
	}
	pruned, err := s.Prune(within(t), artifact.Retention{
		Needed: func(artifact.Staged) bool { return false }, Published: func(artifact.Staged) bool { return true },
	})
	must(t, err)
	if len(pruned) != len(old) {
		t.Errorf("pruned %v, want %v", pruned, old)
	}
	for _, path := range old {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	for _, path := range stay {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
