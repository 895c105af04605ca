package artifact_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"switchd/artifact"
)

func TestStager_StagesOnce(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1<<20)
	var asked atomic.Int32
	server := bad(t, func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		dying(r, 1<<40)(w, req)
	})
	root := t.TempDir()
	s, err := artifact.NewStager(root, r.keys, fetcher(t, sources(server.URL)))
	must(t, err)
	want := filepath.Join(root, "web", "1.4.2-"+r.digest()[:12])
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if dir, err := s.Stage(within(t), r.manifest, nil); err != nil || dir != want {
				t.Errorf("staged to %s, %v", dir, err)
			}
		})
	}
	group.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	if got := snapshot(t, want); !maps.Equal(got, r.tree) {
		t.Errorf("staged is %q, want %q", got, r.tree)
	}
	if !s.Archives().Has(r.digest()) {
		t.Error("the archive is not there for others")
	}
}

func TestStager_LetsNothingBadIn(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 100_000)
	key, keys := newKey(t)
	sign := func(change func(*artifact.Manifest)) artifact.Manifest {
		m := r.manifest
		change(&m)
		must(t, artifact.Sign(&m, key))
		return m
	}
	unsigned := r.manifest
	unsigned.Signature = ""
	for name, test := range map[string]struct {
		m     artifact.Manifest
		fetch artifact.Fetcher
		want  error
	}{
		"unsigned":        {unsigned, neverFetch{t}, artifact.ErrUnsigned},
		"another key":     {r.manifest, neverFetch{t}, artifact.ErrUntrusted},
		"no room":         {sign(func(m *artifact.Manifest) { m.Unpacked = 1 << 50 }), neverFetch{t}, artifact.ErrNoRoom},
		"more than said":  {sign(func(m *artifact.Manifest) { m.Unpacked = 8 << 10 }), fileFetch(r.archive), artifact.ErrTooLarge},
		"other bytes":     {sign(func(*artifact.Manifest) {}), fileFetch(append(bytes.Clone(r.archive[1:]), 0)), artifact.ErrDigest},
		"nothing fetched": {sign(func(*artifact.Manifest) {}), fileFetch(nil), artifact.ErrDigest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			s, err := artifact.NewStager(root, keys, test.fetch)
			must(t, err)
			if _, err := s.Stage(within(t), test.m, nil); !errors.Is(err, test.want) || !strings.Contains(err.Error(), "web 1.4.2") {
				t.Errorf("error is %v, want %v", err, test.want)
			}
			for _, service := range entries(t, root) {
				if got := entries(t, filepath.Join(root, service)); service != ".archives" && len(got) > 0 {
					t.Errorf("%s holds %q", service, got)
				}
			}
		})
	}
}

// neverFetch fails a test in which something is fetched.
type neverFetch struct{ t *testing.T }

func (n neverFetch) Fetch(context.Context, artifact.Manifest, string, func(done, total int64)) error {
	n.t.Error("it was fetched")
	return nil
}

// fileFetch is a fetcher that does not keep its promise to verify.
type fileFetch []byte

func (f fileFetch) Fetch(_ context.Context, _ artifact.Manifest, dst string, _ func(done, total int64)) error {
	return os.WriteFile(dst, f, 0o600)
}

// agentVar makes the test binary an agent that stages the release on its
// stdin and prints the bytes fetched at each step.
const agentVar = "ARTIFACT_TEST_AGENT"

type agentInput struct {
	Root, URL, Key string
	Manifest       artifact.Manifest
}

func actAsAgent() {
	var in agentInput
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		panic(err)
	}
	keys, err := artifact.ParseTrustedKeys(in.Key)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f := artifact.NewHTTPFetcher(sources(in.URL), http.DefaultClient, slog.New(slog.DiscardHandler))
	s, err := artifact.NewStager(in.Root, keys, f)
	if err != nil {
		panic(err)
	}
	// Its answers are read to the end, or it is killed.
	if _, err := s.Stage(ctx, in.Manifest, func(done, _ int64) { fmt.Println(done) }); err != nil {
		panic(err)
	}
}

func TestStager_KilledAnywhereNothingIsHalfDone(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	write(t, filepath.Join(src, "data"), string(noise(1<<20)), 0o644)
	for i := range 1000 {
		write(t, filepath.Join(src, fmt.Sprintf("%02d/%03d", i/50, i)), "x", 0o644)
	}
	r := releaseOf(t, src)
	var hang atomic.Bool
	server := bad(t, func(w http.ResponseWriter, req *http.Request) {
		if hang.Load() {
			w = &hangingWriter{ResponseWriter: w, left: 200_000, until: req.Context()}
		}
		dying(r, 1<<40)(w, req)
	})
	root := t.TempDir()
	// killAgent starts an agent and kills it when the moment has come.
	killAgent := func(await func(ctx context.Context, steps *bufio.Scanner)) {
		t.Helper()
		ctx := within(t)
		agent := exec.CommandContext(ctx, os.Args[0])
		agent.Env = append(os.Environ(), agentVar+"=1")
		input, err := json.Marshal(agentInput{Root: root, URL: server.URL, Key: r.keys[0].String(), Manifest: r.manifest})
		must(t, err)
		agent.Stdin, agent.Stderr = bytes.NewReader(input), os.Stderr
		stdout, err := agent.StdoutPipe()
		must(t, err)
		must(t, agent.Start())
		await(ctx, bufio.NewScanner(stdout))
		must(t, agent.Process.Kill())
		if agent.Wait() == nil {
			t.Error("the agent came through, want it killed")
		}
	}

	// In the middle of the fetch: each run brings 200,000 bytes.
	hang.Store(true)
	for n := range 3 {
		want := int64(n+1) * 200_000
		killAgent(func(_ context.Context, steps *bufio.Scanner) {
			for steps.Scan() && steps.Text() != fmt.Sprint(want) {
			}
		})
		if info, err := os.Stat(filepath.Join(root, ".archives", r.digest()+".part")); err != nil || info.Size() != want {
			t.Fatalf("run %d left %v, %v, want a part of %d bytes", n, info, err, want)
		}
	}
	// In the middle of the unpacking: as soon as its first files are there.
	// Nothing tells of the files of another process, so they are looked for.
	hang.Store(false)
	var last []string
	for range 3 {
		killAgent(func(ctx context.Context, _ *bufio.Scanner) {
			for ctx.Err() == nil {
				files, err := filepath.Glob(filepath.Join(root, "web", ".tmp-*", "00", "*"))
				must(t, err)
				if len(files) > 0 && !slices.Contains(last, files[0]) {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
		if got := entries(t, filepath.Join(root, "web")); len(got) != 1 || !strings.HasPrefix(got[0], ".tmp-") {
			t.Fatalf("killed while it unpacked, the agent left %q", got)
		}
		var err error
		last, err = filepath.Glob(filepath.Join(root, "web", ".tmp-*", "00", "*"))
		must(t, err)
	}

	// The next start cleans up and comes through.
	s, err := artifact.NewStager(root, r.keys, fetcher(t, sources(server.URL)))
	must(t, err)
	if got := entries(t, filepath.Join(root, "web")); len(got) != 0 {
		t.Errorf("after the start there is %q", got)
	}
	dir, err := s.Stage(within(t), r.manifest, nil)
	must(t, err)
	if got := snapshot(t, dir); !maps.Equal(got, r.tree) {
		t.Errorf("staged are %d entries, want %d", len(got), len(r.tree))
	}
	if got := entries(t, filepath.Join(root, ".archives")); len(got) != 1 {
		t.Errorf("left behind: %q", got)
	}
}
