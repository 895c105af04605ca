package servers

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// hello is a program that is built in a second, offline.
func hello(dir string) program {
	return program{
		name:       "hello",
		dir:        "testenv/servers/testdata/" + dir,
		module:     "example.net/hello",
		pkg:        "example.net/hello",
		stamp:      "main.version",
		release:    sameVersion,
		versionArg: "--version",
		minimum:    "1.0.0",
		took:       "a second",
	}
}

func TestFinder_BuildsOnceForAll(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	const seekers = 4
	var progress [seekers]bytes.Buffer
	var wg sync.WaitGroup
	for i := range seekers {
		wg.Go(func() {
			f := &Finder{Progress: &progress[i], Cache: cache, SkipPath: true}
			found, err := f.find(t.Context(), hello("hello"))
			if err != nil || found.Version != "1.2.3" {
				t.Errorf("got %+v (%v), want version 1.2.3", found, err)
				return
			}
			if version, err := hello("hello").versionOf(t.Context(), found.Path); err != nil || version != "1.2.3" {
				t.Errorf("%s says %q (%v), want 1.2.3", found.Path, version, err)
			}
		})
	}
	wg.Wait()
	built := 0
	for i := range seekers {
		built += strings.Count(progress[i].String(), "building hello 1.2.3 from its Go module (once, about a second)\n")
	}
	if built != 1 {
		t.Errorf("it was built %d times, want once", built)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestFinder_ShowsWhyABuildFailed(t *testing.T) {
	t.Parallel()
	f := &Finder{Cache: t.TempDir(), SkipPath: true}
	_, err := f.find(t.Context(), hello("broken"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"build hello 1.2.3: go build in ", "main.go:4:15: undefined: missing", "1.0.0 or newer on PATH"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in: %v", want, err)
		}
	}
}

func TestFinder_StopsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := &Finder{Cache: t.TempDir(), SkipPath: true}
	if _, err := f.find(ctx, hello("hello")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestFinder_PassesOverWhatIsTooOldOnPath(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	install := func(version string) {
		t.Helper()
		script := "#!/bin/sh\necho 'hello v" + version + "'\n"
		if err := os.WriteFile(filepath.Join(bin, "hello"), []byte(script), 0o700); err != nil { //nolint:gosec // It is run.
			t.Fatal(err)
		}
	}
	var progress bytes.Buffer
	f := &Finder{Progress: &progress, Cache: t.TempDir()}
	for version, used := range map[string]bool{
		"1.0.0": true, "1.10.0+ds": true, "2.0.0": true,
		"0.9.12": false, "1.0.0-rc1": false, "of old": false,
	} {
		install(version)
		progress.Reset()
		found, err := f.find(t.Context(), hello("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if got := filepath.Dir(found.Path) == bin; got != used {
			t.Errorf("version %s on PATH: used %t, want %t", version, got, used)
		}
		if told := strings.Contains(progress.String(), "not using "+filepath.Join(bin, "hello")); told == used {
			t.Errorf("version %s on PATH: told %q", version, progress.String())
		}
	}
}

func TestPrometheusRelease_UndoesItsTags(t *testing.T) {
	t.Parallel()
	for module, want := range map[string]string{"v0.315.0": "3.15.0", "v0.300.1": "3.0.1", "v0.309.12": "3.9.12"} {
		if got, err := prometheusRelease(module); err != nil || got != want {
			t.Errorf("%s: got %q (%v), want %s", module, got, err, want)
		}
	}
	for _, module := range []string{"v0.54.1", "v2.5.0", "v0.315.0-rc.1", ""} {
		if got, err := prometheusRelease(module); err == nil {
			t.Errorf("%s: got %q and no error", module, got)
		}
	}
}

func TestTail_KeepsTheEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all strings.Builder
		var kept tail
		for _, line := range rapid.SliceOf(rapid.StringMatching(`[a-z]{0,900}\n`)).Draw(t, "lines") {
			all.WriteString(line)
			if n, err := kept.Write([]byte(line)); n != len(line) || err != nil {
				t.Fatalf("wrote %d (%v), want %d", n, err, len(line))
			}
		}
		got := kept.String()
		if len(got) > tailSize || !strings.HasSuffix(strings.TrimRight(all.String(), "\n"), got) {
			t.Fatalf("%q isn't the end of %q", got, all.String())
		}
	})
}

func FuzzParseVersion(f *testing.F) {
	f.Add("Consul v1.22.7\nBuild Date 1970-01-01T00:00:01Z\n")
	f.Add("prometheus, version 3.15.0 (branch: , revision: unknown)\n  go version: go1.26.8\n")
	f.Add("alertmanager, version  (branch: , revision: unknown)")
	f.Fuzz(func(t *testing.T, out string) {
		version, err := parseVersion(out)
		if err == nil && (version == "" || !strings.Contains(out, version)) {
			t.Errorf("%q: got %q", out, version)
		}
	})
}
