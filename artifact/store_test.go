package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"switchd/artifact"
)

func newStore(t testing.TB) (*artifact.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	s, err := artifact.NewStore(dir)
	must(t, err)
	return s, dir
}

func TestStore_GivesBackWhatItTook(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 300_000)
	s, dir := newStore(t)
	if _, err := s.Open(r.digest()); s.Has(r.digest()) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty store: %v", err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := s.Put(within(t), r.manifest, bytes.NewReader(r.archive)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	// What is there is not read again.
	must(t, s.Put(within(t), r.manifest, iotestBroken{}))
	f, err := s.Open(r.digest())
	must(t, err)
	got, err := io.ReadAll(f)
	must(t, errors.Join(err, f.Close()))
	if !bytes.Equal(got, r.archive) {
		t.Error("the store gave other bytes")
	}
	if got := entries(t, dir); len(got) != 1 || got[0] != r.digest() {
		t.Errorf("store holds %q", got)
	}
	info, err := os.Stat(s.Path(r.digest()))
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("archive has mode %v", info.Mode())
	}
}

// iotestBroken is a reader that fails.
type iotestBroken struct{}

var errBroken = errors.New("connection lost")

func (iotestBroken) Read([]byte) (int, error) { return 0, errBroken }

func TestStore_KeepsNothingWrong(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 100_000)
	s, dir := newStore(t)
	flipped := bytes.Clone(r.archive)
	flipped[1000] ^= 1
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	huge := r.manifest
	huge.Size = 1 << 50
	for name, test := range map[string]struct {
		ctx  context.Context
		m    artifact.Manifest
		r    io.Reader
		want error
	}{
		"too short":   {within(t), r.manifest, bytes.NewReader(r.archive[:len(r.archive)-1]), artifact.ErrDigest},
		"too long":    {within(t), r.manifest, io.MultiReader(bytes.NewReader(r.archive), endless{}), artifact.ErrDigest},
		"wrong bit":   {within(t), r.manifest, bytes.NewReader(flipped), artifact.ErrDigest},
		"broken off":  {within(t), r.manifest, io.MultiReader(bytes.NewReader(r.archive[:5000]), iotestBroken{}), errBroken},
		"ended":       {ended, r.manifest, endless{}, context.Canceled},
		"a full disk": {within(t), huge, endless{}, artifact.ErrNoRoom},
	} {
		if err := s.Put(test.ctx, test.m, test.r); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if got := entries(t, dir); len(got) != 0 {
			t.Errorf("%s: store holds %q", name, got)
		}
	}
	if err := s.Put(within(t), artifact.Manifest{SHA256: "../../x"}, endless{}); err == nil {
		t.Error("an invalid manifest was stored")
	}
	for _, digest := range []string{"", ".", "../store", strings.Repeat("A", 64)} {
		if _, err := s.Open(digest); !errors.Is(err, fs.ErrNotExist) || s.Has(digest) {
			t.Errorf("%q: %v", digest, err)
		}
	}
}

// endless is a reader without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestNewStore_SweepsWhatADeadProcessLeft(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 100)
	s, dir := newStore(t)
	must(t, s.Put(within(t), r.manifest, bytes.NewReader(r.archive)))
	write(t, filepath.Join(dir, ".tmp-123"), "half", 0o600)
	write(t, filepath.Join(dir, "fresh.part"), "half", 0o600)
	write(t, filepath.Join(dir, "old.part"), "half", 0o600)
	old := time.Now().AddDate(0, 0, -8)
	must(t, os.Chtimes(filepath.Join(dir, "old.part"), old, old))
	_, err := artifact.NewStore(dir)
	must(t, err)
	if got, want := strings.Join(entries(t, dir), " "), r.digest()+" fresh.part"; got != want {
		t.Errorf("store holds %s, want %s", got, want)
	}
}
