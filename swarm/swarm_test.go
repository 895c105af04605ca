package swarm_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/artifact"
	"switchd/swarm"
)

func TestMain(m *testing.M) {
	if os.Getenv(fetcherVar) != "" {
		actAsFetcher()
		return
	}
	// They wait for limits and time-outs most of the time, not for a core.
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// town is a membership that lives in this process.
type town struct {
	mu      sync.Mutex
	members map[string]swarm.Member
	has     map[string]map[string]bool // by digest and fingerprint: has or wants it
	// Why Member and Holders can't tell now, or nil.
	noMember, noHolders error
}

func newTown() *town {
	return &town{members: map[string]swarm.Member{}, has: map[string]map[string]bool{}}
}

func (w *town) Member(_ context.Context, fingerprint string) (swarm.Member, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.members[fingerprint]
	return m, ok && w.noMember == nil, w.noMember
}

func (w *town) Holders(_ context.Context, m artifact.Manifest) ([]swarm.Member, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []swarm.Member
	for fingerprint, has := range w.has[m.SHA256] {
		if member, ok := w.members[fingerprint]; ok {
			member.Has = has
			all = append(all, member)
		}
	}
	return all, w.noHolders
}

// fails makes it unable to tell, for reasons that may be nil.
func (w *town) fails(member, holders error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noMember, w.noHolders = member, holders
}

func (w *town) join(m swarm.Member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members[m.Fingerprint] = m
}

func (w *town) leave(m swarm.Member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.members, m.Fingerprint)
}

// holds writes down who has or wants an artifact.
func (w *town) holds(m artifact.Manifest, member swarm.Member, has bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.has[m.SHA256] == nil {
		w.has[m.SHA256] = map[string]bool{}
	}
	w.has[m.SHA256][member.Fingerprint] = has
}

// node is a swarm with its store.
type node struct {
	*swarm.Swarm

	town *town
	dir  string
}

// newNode opens a swarm that is a member of the town.
func newNode(t testing.TB, w *town, name string, change ...func(*swarm.Config)) *node {
	t.Helper()
	cfg := newConfig(t, w, name)
	for _, c := range change {
		c(&cfg)
	}
	s, err := swarm.Open(cfg)
	must(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close %s: %v", name, err)
		}
	})
	w.join(s.Self())
	return &node{Swarm: s, town: w, dir: cfg.Dir}
}

func newConfig(t testing.TB, w *town, name string) swarm.Config {
	t.Helper()
	id, err := swarm.NewIdentity()
	must(t, err)
	return swarm.Config{
		Dir:      t.TempDir(),
		Listen:   "127.0.0.1:0",
		Self:     swarm.Member{Node: name, Datacenter: "east", Rack: "r1"},
		Members:  w,
		Identity: id,
		Log:      slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

func (n *node) path(m artifact.Manifest) string { return filepath.Join(n.dir, m.SHA256) }

// seed puts an archive into the store and offers it.
func (n *node) seed(t testing.TB, m artifact.Manifest, archive []byte) {
	t.Helper()
	must(t, os.WriteFile(n.path(m), archive, 0o600))
	must(t, n.Seed(t.Context(), m))
	n.town.holds(m, n.Self(), true)
}

// fetch gets an archive into the store.
func (n *node) fetch(ctx context.Context, m artifact.Manifest) error {
	n.town.holds(m, n.Self(), false)
	if err := n.Fetch(ctx, m, n.path(m), nil); err != nil {
		return err
	}
	n.town.holds(m, n.Self(), true)
	return nil
}

// fetchAll has nodes fetch at the same time, and checks what they get.
func fetchAll(t testing.TB, nodes []*node, m artifact.Manifest) {
	t.Helper()
	for _, n := range nodes { // They all know that they all want it.
		n.town.holds(m, n.Self(), false)
	}
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() {
			if err := n.fetch(t.Context(), m); err != nil {
				t.Errorf("%s: %v", n.Self().Node, err)
			} else if err := m.VerifyFile(t.Context(), n.path(m)); err != nil {
				t.Errorf("%s: %v", n.Self().Node, err)
			}
		})
	}
	all.Wait()
}

// of returns a node's progress with an artifact.
func (n *node) of(t testing.TB, m artifact.Manifest) swarm.Progress {
	t.Helper()
	for _, p := range n.Progress() {
		if p.SHA256 == m.SHA256 {
			return p
		}
	}
	t.Fatalf("%s knows nothing of %s", n.Self().Node, m)
	return swarm.Progress{}
}

// newArchive returns random bytes and a manifest for them. A swarm doesn't
// look into archives.
func newArchive(t testing.TB, version string, size int) (artifact.Manifest, []byte) {
	t.Helper()
	archive := make([]byte, size)
	seed := sha256.Sum256([]byte(version))
	_, err := rand.NewChaCha8(seed).Read(archive)
	must(t, err)
	sum := sha256.Sum256(archive)
	m := artifact.NewManifest("web", version, "ana", time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), artifact.Info{
		Size: int64(size), SHA256: hex.EncodeToString(sum[:]), Unpacked: int64(size),
	})
	must(t, m.AddMetainfo(t.Context(), bytes.NewReader(archive)))
	return m, archive
}

func newNodes(t testing.TB, w *town, names ...string) []*node {
	t.Helper()
	var all []*node
	for _, name := range names {
		all = append(all, newNode(t, w, name))
	}
	return all
}

func TestFetch_SpreadsAnArchiveOverFiveNodesFromOneSeed(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 12<<20+12345)
	seed := newNode(t, w, "seed")
	seed.seed(t, m, archive)
	nodes := newNodes(t, w, "n1", "n2", "n3", "n4", "n5")
	fetchAll(t, nodes, m)
	if sent := seed.of(t, m).Sent; sent >= 2*m.Size {
		t.Errorf("the seed sent %d bytes of %d", sent, m.Size)
	}
	for _, n := range nodes {
		if p := n.of(t, m); !p.Seeding || p.Done != m.Size || p.FromOrigin != 0 {
			t.Errorf("%s ends with %+v", n.Self().Node, p)
		}
		got, err := os.ReadFile(n.path(m))
		must(t, err)
		if !bytes.Equal(got, archive) {
			t.Errorf("%s has other bytes", n.Self().Node)
		}
	}
}

// fetcherVar makes the test binary a fetcher that can be killed.
const fetcherVar = "SWARM_TEST_FETCHER"

func TestOpen_WantsAnAddressThatOthersCanReach(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, newTown(), "a")
	cfg.Listen, cfg.Self.Addr = "[::]:0", netip.AddrPort{}
	s, err := swarm.Open(cfg)
	if err == nil {
		t.Errorf("it tells others to reach it at %v", s.Self().Addr)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return
	}
	if !strings.Contains(err.Error(), "it listens on all addresses ([::]:0); say which one") {
		t.Errorf("got %v, want the way out", err)
	}
}
