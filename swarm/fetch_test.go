package swarm_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"switchd/artifact"
	"switchd/swarm"
)

func TestFetch_GetsTwoArtifactsAtOnceOverIPv6(t *testing.T) {
	t.Parallel()
	w := newTown()
	v6 := func(c *swarm.Config) { c.Listen = "[::1]:0" }
	a, archiveA := newArchive(t, "1.0.0", 3<<20)
	b, archiveB := newArchive(t, "2.0.0", 5<<20+1)
	newNode(t, w, "s1", v6).seed(t, a, archiveA)
	newNode(t, w, "s2", v6).seed(t, b, archiveB)
	leech := newNode(t, w, "n1", v6)
	errs := make(chan error, 2)
	for _, m := range []artifact.Manifest{a, b} {
		go func() { errs <- leech.fetch(t.Context(), m) }()
	}
	must(t, errors.Join(<-errs, <-errs))
	for _, m := range []artifact.Manifest{a, b} {
		must(t, m.VerifyFile(t.Context(), leech.path(m)))
	}
	if all := leech.Progress(); len(all) != 2 || all[0].Version != "1.0.0" || !all[0].Seeding || !all[1].Seeding {
		t.Errorf("progress is %+v", all)
	}
}

func TestFetch_LosesAPieceAndItsSenderToCorruption(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 12<<20)
	bad := newNode(t, w, "bad")
	bad.seed(t, m, archive)
	rotten := bytes.Clone(archive)
	for i := 0; i < len(rotten); i += 64 << 10 {
		rotten[i] ^= 1
	}
	must(t, os.WriteFile(bad.path(m), rotten, 0o600)) // The same file, other bytes.
	leech := newNode(t, w, "n1")
	fetched := make(chan error, 1)
	go func() { fetched <- leech.fetch(t.Context(), m) }()
	eventually(t, "the corrupt seed sends something", func() bool { return bad.of(t, m).Sent > 0 })
	newNode(t, w, "good").seed(t, m, archive)
	must(t, <-fetched)
	must(t, m.VerifyFile(t.Context(), leech.path(m)))
	// What was asked for before the first wrong piece was hashed is on its way
	// by then: some requests' depth, of 12 MiB.
	const onItsWay = 512 << 10
	if sent := bad.of(t, m).Sent; sent > onItsWay {
		t.Errorf("the corrupt seed could send %d bytes, %d pieces", sent, sent/m.PieceLength)
	}
	if p := leech.of(t, m); p.FromOrigin != 0 {
		t.Errorf("progress is %+v", p)
	}
}

func TestFetch_RefusesAnArchiveWithAnotherSHA256(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 1<<20)
	m.SHA256 = strings.Repeat("ab", 32)
	must(t, m.AddMetainfo(t.Context(), bytes.NewReader(archive))) // The pieces are right.
	newNode(t, w, "seed").seed(t, m, archive)
	leech := newNode(t, w, "n1")
	if err := leech.fetch(t.Context(), m); !errors.Is(err, artifact.ErrDigest) {
		t.Errorf("error is %v", err)
	}
	mustBeEmpty(t, leech.dir)
	if all := leech.Progress(); len(all) != 0 {
		t.Errorf("it still takes part: %+v", all)
	}
}

func TestFetch_RefusesATorrentOfAnotherArchive(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 1<<20)
	newNode(t, w, "seed").seed(t, m, archive)
	other := m
	other.SHA256 = strings.Repeat("cd", 32) // With the info hash of the first.
	w.holds(other, w.only(t, "seed"), true)
	leech := newNode(t, w, "n1")
	if err := leech.fetch(t.Context(), other); !errors.Is(err, artifact.ErrDigest) {
		t.Errorf("error is %v", err)
	}
	mustBeEmpty(t, leech.dir)
}

func TestSeed_RefusesOtherBytes(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 1<<20)
	n := newNode(t, w, "n1")
	archive[12345] ^= 1
	must(t, os.WriteFile(n.path(m), archive, 0o600))
	if err := n.Seed(t.Context(), m); !errors.Is(err, artifact.ErrDigest) {
		t.Errorf("error of a changed byte is %v", err)
	}
	must(t, os.WriteFile(n.path(m), archive[:1000], 0o600))
	if err := n.Seed(t.Context(), m); !errors.Is(err, artifact.ErrDigest) {
		t.Errorf("error of a short file is %v", err)
	}
	must(t, os.Remove(n.path(m)))
	if err := n.Seed(t.Context(), m); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error of no file is %v", err)
	}
}

func TestFetch_ContinuesWhatWasCancelled(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 8<<20)
	seed := newNode(t, w, "seed", func(c *swarm.Config) { c.UpRate = 4 << 20 })
	seed.seed(t, m, archive)
	leech := newNode(t, w, "n1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.holds(m, leech.Self(), false)
	err := leech.Fetch(ctx, m, leech.path(m), func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	before := seed.of(t, m).Sent
	must(t, leech.fetch(t.Context(), m))
	if again := seed.of(t, m).Sent - before; again > m.Size*3/4 {
		t.Errorf("%d bytes were sent again, after %d", again, before)
	}
	must(t, m.VerifyFile(t.Context(), leech.path(m)))
}

func TestFetch_HealsWhatWasOfferedAndIsGone(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 1<<20)
	newNode(t, w, "seed").seed(t, m, archive)
	n := newNode(t, w, "n1")
	n.seed(t, m, archive)
	must(t, n.fetch(t.Context(), m)) // It is there.
	must(t, os.Remove(n.path(m)))
	must(t, n.fetch(t.Context(), m))
	must(t, m.VerifyFile(t.Context(), n.path(m)))
	must(t, os.WriteFile(n.path(m), archive[:1000], 0o600))
	must(t, n.fetch(t.Context(), m))
	must(t, m.VerifyFile(t.Context(), n.path(m)))
	if p := n.of(t, m); !p.Seeding {
		t.Errorf("progress is %+v", p)
	}
}

func TestUnseed_EndsAFetchAndAnOffer(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 8<<20)
	seed := newNode(t, w, "seed", func(c *swarm.Config) { c.UpRate = 1 << 20 })
	seed.seed(t, m, archive)
	leech := newNode(t, w, "n1")
	begun := make(chan struct{}, 1)
	fetched := make(chan error, 1)
	w.holds(m, leech.Self(), false)
	go func() {
		fetched <- leech.Fetch(t.Context(), m, leech.path(m), func(done, _ int64) {
			if done > 0 {
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}()
	<-begun
	leech.Unseed(m.SHA256)
	if err := <-fetched; err == nil || !strings.Contains(err.Error(), "not wanted any more") {
		t.Errorf("error is %v", err)
	}
	seed.Unseed(m.SHA256)
	if all := append(seed.Progress(), leech.Progress()...); len(all) != 0 {
		t.Errorf("still there: %+v", all)
	}
	must(t, os.Remove(seed.path(m)))
}

func TestClose_EndsAFetch(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, _ := newArchive(t, "1.0.0", 1<<20)
	n := newNode(t, w, "n1")
	fetched := make(chan error, 1)
	go func() { fetched <- n.fetch(t.Context(), m) }()
	eventually(t, "it is fetching", func() bool { return len(n.Progress()) == 1 })
	must(t, n.Close())
	if err := <-fetched; !errors.Is(err, swarm.ErrClosed) {
		t.Errorf("error is %v", err)
	}
	if err := n.Seed(t.Context(), m); !errors.Is(err, swarm.ErrClosed) {
		t.Errorf("error afterwards is %v", err)
	}
}

func TestFetch_ReportsADiskWithoutRoomBeforeItStarts(t *testing.T) {
	t.Parallel()
	m, _ := newArchive(t, "1.0.0", 1<<20)
	m.Size, m.Unpacked, m.PieceLength = 1<<43, 1<<43, artifact.PieceLength(1<<43)
	n := newNode(t, newTown(), "n1")
	if err := n.fetch(t.Context(), m); !errors.Is(err, artifact.ErrNoRoom) {
		t.Errorf("error is %v", err)
	}
	mustBeEmpty(t, n.dir)
	nowhere, _ := newArchive(t, "1.0.1", 1<<20)
	if err := n.Fetch(t.Context(), nowhere, filepath.Join(n.dir, "none", "x"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error of a missing directory is %v", err)
	}
}

func TestFetch_WaitsForWhoCanTellTheHolders(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 1<<20)
	newNode(t, w, "seed").seed(t, m, archive)
	w.fails(nil, errors.New("no leader"))
	asked := make(chan struct{})
	var once sync.Once
	leech := newNode(t, w, "n1", func(c *swarm.Config) {
		c.Log = slog.New(slog.NewTextHandler(writerFunc(func(text []byte) {
			if bytes.Contains(text, []byte("no leader")) {
				once.Do(func() { close(asked) })
			}
		}), nil))
	})
	fetched := make(chan error, 1)
	go func() { fetched <- leech.fetch(t.Context(), m) }()
	<-asked
	w.fails(nil, nil)
	must(t, <-fetched)
	must(t, m.VerifyFile(t.Context(), leech.path(m)))
}

// writerFunc is told what is written.
type writerFunc func(text []byte)

func (f writerFunc) Write(text []byte) (int, error) {
	f(text)
	return len(text), nil
}

func TestFetch_LeavesNothingOnADiskThatFillsUp(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 8<<20)
	seed := newNode(t, w, "seed", func(c *swarm.Config) { c.UpRate = 4 << 20 })
	seed.seed(t, m, archive)
	child, lines := startFetcher(t, w, task{Manifest: m, Dst: filepath.Join(t.TempDir(), m.SHA256), Seed: seed.Self(), Disk: 12 << 20})
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	must(t, child.Wait())
	if want := "no room, there is [others]"; len(said) == 0 || said[len(said)-1] != want {
		t.Errorf("it says %q, want %q at the end", said, want)
	}
}

// origin is a store over HTTP that counts what it gives.
func origin(t testing.TB, m artifact.Manifest, archive []byte) (swarm.Origin, *atomic.Int64) {
	t.Helper()
	store, err := artifact.NewStore(t.TempDir())
	must(t, err)
	must(t, store.Put(t.Context(), m, bytes.NewReader(archive)))
	var sent atomic.Int64
	handler := artifact.NewHandler(store, artifact.Policy{}, slog.New(slog.DiscardHandler))
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(countingResponse{rw, &sent}, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.Client().CloseIdleConnections)
	source := func(context.Context) ([]string, error) { return []string{server.URL}, nil }
	return artifact.NewHTTPFetcher(source, server.Client(), slog.New(slog.DiscardHandler)), &sent
}

type countingResponse struct {
	http.ResponseWriter

	sent *atomic.Int64
}

func (c countingResponse) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

func (c countingResponse) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func TestFetch_GoesOnOverHTTPWhenTheSeedDies(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 12<<20)
	http, sent := origin(t, m, archive)
	seed := newNode(t, w, "seed", func(c *swarm.Config) { c.UpRate = 4 << 20 })
	seed.seed(t, m, archive)
	withOrigin := func(c *swarm.Config) { c.Origin = http }
	nodes := []*node{newNode(t, w, "n1", withOrigin), newNode(t, w, "n2", withOrigin), newNode(t, w, "n3", withOrigin)}
	fetched := make(chan struct{})
	go func() {
		defer close(fetched)
		fetchAll(t, nodes, m)
	}()
	eventually(t, "a quarter is there", func() bool { return nodes[0].done(m) > m.Size/4 })
	w.leave(seed.Self())
	must(t, seed.Close())
	<-fetched
	if n := sent.Load(); n == 0 || n > 2*m.Size {
		t.Errorf("the origin sent %d bytes of %d to three nodes", n, m.Size)
	}
}

func TestFetch_AsksTheOriginWhenNobodyElseKnowsIt(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 2<<20)
	http, sent := origin(t, m, archive)
	first := newNode(t, w, "n1", func(c *swarm.Config) { c.Origin = http })
	must(t, first.fetch(t.Context(), m))
	if sent.Load() != m.Size {
		t.Errorf("the origin sent %d bytes of %d", sent.Load(), m.Size)
	}
	second := newNode(t, w, "n2") // The first one offers it.
	must(t, second.fetch(t.Context(), m))
	must(t, m.VerifyFile(t.Context(), second.path(m)))
	without := m
	without.InfoHash, without.PieceLength = "", 0
	third := newNode(t, newTown(), "n3", func(c *swarm.Config) { c.Origin = http })
	must(t, third.fetch(t.Context(), without))
	if all := third.Progress(); len(all) != 0 {
		t.Errorf("it is offered without an info hash: %+v", all)
	}
	alone := newNode(t, newTown(), "n4")
	if err := alone.fetch(t.Context(), without); err == nil || !strings.Contains(err.Error(), "there is no origin") {
		t.Errorf("error is %v", err)
	}
}

func TestFetch_KeepsItsPiecesOverKill9(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 8<<20)
	seed := newNode(t, w, "seed", func(c *swarm.Config) { c.UpRate = 4 << 20 })
	seed.seed(t, m, archive)
	leech := newConfig(t, w, "n1")
	dst := filepath.Join(leech.Dir, m.SHA256)

	child, lines := startFetcher(t, w, task{Manifest: m, Dst: dst, Seed: seed.Self()})
	var had int64
	for had < m.Size/2 && lines.Scan() {
		if _, err := fmt.Sscan(lines.Text(), &had); err != nil {
			t.Fatalf("the fetcher says %q", lines.Text())
		}
	}
	must(t, child.Process.Kill())
	if err := child.Wait(); err == nil {
		t.Fatal("the fetcher was done too soon")
	}
	if had < m.Size/2 {
		t.Fatalf("the fetcher had %d bytes", had)
	}

	before := seed.of(t, m).Sent
	s, err := swarm.Open(leech)
	must(t, err)
	defer s.Close() //nolint:errcheck // The fetch counts.
	w.join(s.Self())
	must(t, s.Fetch(t.Context(), m, dst, nil))
	must(t, m.VerifyFile(t.Context(), dst))
	// The pieces that were begun are lost: as many as blocks were under way.
	if again := seed.of(t, m).Sent - before; again > m.Size-had+8*m.PieceLength {
		t.Errorf("%d bytes came again, though %d of %d were there", again, had, m.Size)
	}
}

// task is what a process of its own has to fetch.
type task struct {
	Manifest artifact.Manifest
	Dst      string
	Seed     swarm.Member
	Disk     int // bytes of a file system for Dst that is lost to others when something has come; 0 is none
}

// startFetcher starts a process with a task, which becomes a member. Then come
// the lines that it says.
func startFetcher(t testing.TB, w *town, job task) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	text, err := json.Marshal(job)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	child := exec.CommandContext(t.Context(), self)
	child.Env = append(os.Environ(), fetcherVar+"="+string(text))
	child.Stderr = os.Stderr
	if job.Disk > 0 { // What it mounts nobody else sees, and it goes with it.
		child.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
	}
	stdout, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines := bufio.NewScanner(stdout)
	var stranger swarm.Member
	if !lines.Scan() {
		t.Fatalf("the fetcher says nothing: %v", child.Wait())
	}
	must(t, json.Unmarshal(lines.Bytes(), &stranger))
	w.join(stranger)
	return child, lines
}

// actAsFetcher says who it is and then how far it is.
func actAsFetcher() {
	if err := fetchAlone(os.Getenv(fetcherVar)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func fetchAlone(text string) error {
	var job task
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		return err
	}
	id, err := swarm.NewIdentity()
	if err != nil {
		return err
	}
	dir := filepath.Dir(job.Dst)
	if job.Disk > 0 {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", job.Disk)); err != nil {
			return fmt.Errorf("mount a file system of its own: %w", err)
		}
	}
	w := newTown()
	w.join(job.Seed)
	w.holds(job.Manifest, job.Seed, true)
	s, err := swarm.Open(swarm.Config{
		Dir: dir, Listen: "127.0.0.1:0", Self: swarm.Member{Node: "n1"}, Members: w, Identity: id,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // The fetch counts.
	if err := json.NewEncoder(os.Stdout).Encode(s.Self()); err != nil {
		return err
	}
	var filled error
	fill := sync.OnceFunc(func() { filled = fillDisk(dir, job.Dst+artifact.SwarmPartSuffix, job.Manifest.Size/2) })
	err = s.Fetch(context.Background(), job.Manifest, job.Dst, func(done, _ int64) {
		fmt.Println(done)
		if job.Disk > 0 && done > 0 {
			fill()
		}
	})
	if job.Disk > 0 && errors.Is(err, artifact.ErrNoRoom) {
		entries, readErr := os.ReadDir(dir)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		fmt.Println("no room, there is", names)
		return errors.Join(filled, readErr)
	}
	return errors.Join(err, filled)
}

// fillDisk takes what a file has reserved from off on, and all the rest of the
// disk, for others. Nothing may have come there yet: it would be taken for
// wrong, and its sender banned.
func fillDisk(dir, reserved string, off int64) error {
	part, err := os.OpenFile(filepath.Clean(reserved), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer part.Close() //nolint:errcheck // Nothing was written to it.
	size, err := part.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := unix.Fallocate(int(part.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, size-off); err != nil {
		return fmt.Errorf("give up what was reserved: %w", err)
	}
	others, err := os.Create(filepath.Join(dir, "others"))
	if err != nil {
		return err
	}
	defer others.Close() //nolint:errcheck // It was filled to the brim.
	for block := make([]byte, 4096); ; {
		if _, err := others.Write(block); errors.Is(err, unix.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// only returns the member with a name.
func (w *town) only(t testing.TB, name string) swarm.Member {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.members {
		if m.Node == name {
			return m
		}
	}
	t.Fatalf("there is no %s", name)
	return swarm.Member{}
}

// done returns the bytes that a node has of an artifact.
func (n *node) done(m artifact.Manifest) int64 {
	for _, p := range n.Progress() {
		if p.SHA256 == m.SHA256 {
			return p.Done
		}
	}
	return 0
}

func mustBeEmpty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("there is %v", entries)
	}
}

// eventually waits for what another process or goroutine brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
