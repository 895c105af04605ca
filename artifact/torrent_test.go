package artifact_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	"pgregory.net/rapid"

	"switchd/artifact"
)

func TestNewMetainfo_IsWhatBitTorrentSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		archive := noise(rapid.IntRange(1, 200_000).Draw(t, "size"))
		length := int64(1) << rapid.IntRange(14, 18).Draw(t, "piece length")
		name := rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "digest")
		got, err := artifact.NewMetainfo(context.Background(), bytes.NewReader(archive), name, int64(len(archive)), length)
		if err != nil {
			t.Fatal(err)
		}
		private := true
		info := metainfo.Info{Name: name, Length: int64(len(archive)), PieceLength: length, Private: &private}
		if err := info.GeneratePieces(func(metainfo.FileInfo) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(archive)), nil
		}); err != nil {
			t.Fatal(err)
		}
		want, err := bencode.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Info, want) {
			t.Fatalf("the info dictionary is %q, want %q", got.Info, want)
		}
		if hash := metainfo.HashBytes(want); got.InfoHash != hash.HexString() || got.PieceLength != length {
			t.Fatalf("the info hash is %s, want %s", got.InfoHash, hash.HexString())
		}
	})
}

func TestNewMetainfo_RefusesAnArchiveThatIsTooShort(t *testing.T) {
	t.Parallel()
	_, err := artifact.NewMetainfo(t.Context(), bytes.NewReader(noise(99_999)), "x", 100_000, 1<<14)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := artifact.NewMetainfo(ctx, bytes.NewReader(noise(99_999)), "x", 99_999, 1<<14); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestPieceLength_KeepsPiecesFewAndShort(t *testing.T) {
	t.Parallel()
	for size, want := range map[int64]int64{
		1: 32 << 10, 64<<20 - 1: 32 << 10, 64 << 20: 64 << 10, 512 << 20: 512 << 10, 1<<30 - 1: 512 << 10, 1 << 30: 1 << 20, 16 << 30: 1 << 20, 16<<30 + 1: 2 << 20, 64 << 30: 4 << 20,
	} {
		if got := artifact.PieceLength(size); got != want {
			t.Errorf("the pieces of %d bytes have %d, want %d", size, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		m := manifests().Draw(t, "manifest")
		m.InfoHash, m.PieceLength = strings.Repeat("0a", 20), artifact.PieceLength(m.Size)
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestValidate_WantsAWholeMetainfoOrNone(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1000)
	m := r.manifest
	must(t, m.AddMetainfo(t.Context(), bytes.NewReader(r.archive)))
	must(t, m.Validate())
	if bytes.Equal(m.Payload(), r.manifest.Payload()) || r.keys.Verify(m) == nil {
		t.Error("the metainfo isn't signed")
	}
	if bytes.Contains(r.manifest.Payload(), []byte("info_hash")) {
		t.Error("a manifest without metainfo is signed in another way than before")
	}
	for name, change := range map[string]func(*artifact.Manifest){
		"no info hash":         func(m *artifact.Manifest) { m.InfoHash = "" },
		"no piece length":      func(m *artifact.Manifest) { m.PieceLength = 0 },
		"upper-case info hash": func(m *artifact.Manifest) { m.InfoHash = strings.Repeat("AB", 20) },
		"short info hash":      func(m *artifact.Manifest) { m.InfoHash = m.InfoHash[1:] },
		"tiny pieces":          func(m *artifact.Manifest) { m.PieceLength = 1 << 13 },
		"huge pieces":          func(m *artifact.Manifest) { m.PieceLength = 1 << 31 },
		"crooked pieces":       func(m *artifact.Manifest) { m.PieceLength = 3 << 18 },
		"negative pieces":      func(m *artifact.Manifest) { m.PieceLength = -1 << 18 },
		"too many pieces":      func(m *artifact.Manifest) { m.Size, m.PieceLength = 1<<40, 1<<18 },
	} {
		bad := m
		change(&bad)
		if err := bad.Validate(); err == nil {
			t.Errorf("%s: it is valid: %+v", name, bad)
		}
	}
}

func TestVerifyFile_TellsARightFileFromAnother(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 100_000)
	path := filepath.Join(t.TempDir(), "archive")
	if err := r.manifest.VerifyFile(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error of no file is %v", err)
	}
	must(t, os.WriteFile(path, r.archive, 0o600))
	must(t, r.manifest.VerifyFile(t.Context(), path))
	wrong := bytes.Clone(r.archive)
	wrong[len(wrong)/2] ^= 1
	for _, bytes := range [][]byte{wrong, r.archive[1:], append(wrong, 0)} {
		must(t, os.WriteFile(path, bytes, 0o600))
		if err := r.manifest.VerifyFile(t.Context(), path); !errors.Is(err, artifact.ErrDigest) {
			t.Errorf("error of wrong bytes is %v", err)
		}
	}
}

func TestReadRange_ReadsFromWhoeverCan(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 100_000)
	store, err := artifact.NewStore(t.TempDir())
	must(t, err)
	must(t, store.Put(t.Context(), r.manifest, bytes.NewReader(r.archive)))
	log := slog.New(slog.DiscardHandler)
	good := httptest.NewServer(artifact.NewHandler(store, artifact.Policy{}, log))
	defer good.Close()
	total := strconv.FormatInt(r.manifest.Size, 10)
	answers := map[string]http.HandlerFunc{
		"404":   http.NotFound,
		"all":   func(w http.ResponseWriter, _ *http.Request) { w.Write(r.archive) }, //nolint:errcheck // The reader sees it.
		"short": func(w http.ResponseWriter, _ *http.Request) { partial(w, "bytes 500-1499/"+total, r.archive[500:600]) },
		"other": func(w http.ResponseWriter, _ *http.Request) { partial(w, "bytes 0-999/"+total, r.archive[:1000]) },
	}
	for name, answer := range answers {
		bad := httptest.NewServer(answer)
		defer bad.Close()
		both := artifact.NewHTTPFetcher(sources(bad.URL, good.URL), bad.Client(), log)
		for range 2 { // Once from each first.
			got := make([]byte, 1000)
			must(t, both.ReadRange(t.Context(), r.manifest, got, 500))
			if !bytes.Equal(got, r.archive[500:1500]) {
				t.Errorf("%s: it reads %s", name, hex.EncodeToString(got[:20]))
			}
		}
		only := artifact.NewHTTPFetcher(sources(bad.URL), bad.Client(), log)
		if err := only.ReadRange(t.Context(), r.manifest, make([]byte, 1000), 500); err == nil {
			t.Errorf("%s: it is taken", name)
		}
		bad.Client().CloseIdleConnections()
	}
	f := artifact.NewHTTPFetcher(sources(good.URL), good.Client(), log)
	for _, off := range []int64{-1, r.manifest.Size, r.manifest.Size - 9} {
		if err := f.ReadRange(t.Context(), r.manifest, make([]byte, 10), off); err == nil {
			t.Errorf("10 bytes at %d of %d are read", off, r.manifest.Size)
		}
	}
	none := artifact.NewHTTPFetcher(sources(), good.Client(), log)
	if err := none.ReadRange(t.Context(), r.manifest, make([]byte, 10), 0); err == nil || !strings.Contains(err.Error(), "no source") {
		t.Errorf("error without a source is %v", err)
	}
}

// partial answers with a range.
func partial(w http.ResponseWriter, contentRange string, body []byte) {
	w.Header().Set("Content-Range", contentRange)
	w.WriteHeader(http.StatusPartialContent)
	w.Write(body) //nolint:errcheck // The reader sees it.
}
