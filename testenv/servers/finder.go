// Package servers finds the real Consul, Prometheus and Alertmanager that the
// tests and the demo run against: on PATH when it is new enough, else in the
// user's cache, else built from its pinned Go module into that cache.
package servers

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/mod/semver"
)

// The servers that can be found.
const (
	Consul       = "consul"
	Prometheus   = "prometheus"
	Alertmanager = "alertmanager"
	Promtool     = "promtool" // which checks rules for Prometheus
	CoreDNS      = "coredns"  // which the name servers are measured beside
)

// buildTimeout bounds one build, downloads and the wait for another checkout's
// build included.
const buildTimeout = 30 * time.Minute

// Find returns the absolute path of the named server's program and builds it
// when there is none yet. What takes long is told on progress, a line at a
// time; nil means that nobody listens.
func Find(ctx context.Context, progress io.Writer, name string) (string, error) {
	found, err := (&Finder{Progress: progress}).Find(ctx, name)
	return found.Path, err
}

// Names returns the names of the servers that tests and the demo need. Find
// knows those of benches, too.
func Names() []string {
	var names []string
	for _, p := range programs() {
		if !p.bench {
			names = append(names, p.name)
		}
	}
	return names
}

// Finder looks for servers. Its zero value does what Find does.
type Finder struct {
	// Progress gets lines about what takes long; nil discards them.
	Progress io.Writer
	// Cache is the folder of built programs; empty means switchd/servers in
	// os.UserCacheDir.
	Cache string
	// SkipPath ignores the programs on PATH.
	SkipPath bool
}

// Found is a server that was found.
type Found struct {
	Name    string
	Version string // without a leading v, such as "1.22.7"
	Path    string // absolute
}

// Find returns the named server and builds it when there is none yet.
func (f *Finder) Find(ctx context.Context, name string) (Found, error) {
	for _, p := range programs() {
		if p.name == name {
			return f.find(ctx, p)
		}
	}
	return Found{}, fmt.Errorf("find server %q: unknown name; known are %v", name, Names())
}

func (f *Finder) find(ctx context.Context, p program) (Found, error) {
	if !f.SkipPath {
		if found, ok := f.onPath(ctx, p); ok {
			return found, nil
		}
	}
	pin, err := p.pin()
	if err != nil {
		return Found{}, fmt.Errorf("find %s: %w", p.name, err)
	}
	cache, err := f.cache()
	if err != nil {
		return Found{}, fmt.Errorf("find %s: %w", p.name, err)
	}
	found := Found{Name: p.name, Version: pin.version, Path: filepath.Join(cache, pin.file())}
	if exists(found.Path) {
		return found, nil
	}
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	progress := f.Progress
	if progress == nil {
		progress = io.Discard
	}
	if err := pin.build(ctx, progress, found.Path); err != nil {
		return Found{}, fmt.Errorf("build %s %s: %w", p.name, pin.version, err)
	}
	return found, nil
}

// onPath returns the program on PATH if it is new enough. One that is too old
// or doesn't tell its version is passed over, and that is said.
func (f *Finder) onPath(ctx context.Context, p program) (Found, bool) {
	path, err := exec.LookPath(p.name)
	if err != nil {
		return Found{}, false
	}
	if path, err = filepath.Abs(path); err != nil {
		return Found{}, false
	}
	version, err := p.versionOf(ctx, path)
	if err == nil && semver.Compare("v"+version, "v"+p.minimum) < 0 {
		err = fmt.Errorf("its version %s is older than %s", version, p.minimum)
	}
	if err != nil {
		if f.Progress != nil {
			fmt.Fprintf(f.Progress, "not using %s: %v\n", path, err)
		}
		return Found{}, false
	}
	return Found{Name: p.name, Version: version, Path: path}, true
}

func (f *Finder) cache() (string, error) {
	if f.Cache != "" {
		return filepath.Abs(f.Cache)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(dir, "switchd", "servers"), nil
}

// file names the built program, so that one cache serves several versions and
// platforms.
func (p pin) file() string {
	return fmt.Sprintf("%s-%s-%s-%s", p.name, p.version, runtime.GOOS, runtime.GOARCH)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
