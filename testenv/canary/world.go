package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"switchd/spec"
	"switchd/testenv/proc"
	"switchd/testenv/servers"
	"switchd/warmup"
)

const (
	nodesPerPool = 2
	appPort      = 8080
	promPort     = 9090
	startTimeout = 30 * time.Second
)

// pool is the nodes of one version.
type pool struct {
	name string
	args []string // of the app
	// fault is the metric that must halt the pool; "" if none may.
	fault string
	urls  []string
}

// world is a live pool, its canaries, the load on them, and a Prometheus.
type world struct {
	live     *pool
	canaries []*pool

	dir        string
	group      *proc.Group
	prometheus string
	load       sync.WaitGroup
	endLoad    context.CancelFunc
}

// steady is what every version does: one error in fifty, and 5 ms an answer.
func steady(more ...string) []string {
	return append([]string{"--version", "1", "--error-rate", "0.02", "--latency", "5ms"}, more...)
}

func newWorld(ctx context.Context, rate int) (_ *world, err error) {
	w := &world{
		live: &pool{name: "blue", args: steady()},
		canaries: []*pool{
			{name: "green", args: steady()},
			{name: "errors", args: steady("--error-rate", "0.2"), fault: "errors"},
			{name: "latency", args: steady("--latency", "60ms"), fault: "latency"},
			{name: "saturation", args: steady("--burn", "2ms"), fault: "saturation"},
		},
	}
	if w.dir, err = os.MkdirTemp("", "canary"); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	if w.group, err = proc.NewGroup(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.dir))
	}
	if err := w.start(ctx, rate); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// start starts everything and waits until it answers.
func (w *world) start(ctx context.Context, rate int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // the servers may have to be built
	defer cancel()
	app := filepath.Join(w.dir, "app")
	build := exec.CommandContext(ctx, "go", "build", "-o", app, "switchd/testenv/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the app: %w\n%s", err, out)
	}
	// Addresses of the loopback that nobody else has, most likely.
	host := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), rand.IntN(256)) //nolint:gosec // not a secret
	number := 0
	var targets []target
	for _, p := range w.pools() {
		for range nodesPerPool {
			number++
			addr := fmt.Sprintf("%s%d:%d", host, number, appPort)
			name := fmt.Sprintf("%s-%d", p.name, number)
			log := filepath.Join(w.dir, name+".log")
			if _, err := w.group.Start(ctx, name, log, append([]string{app, "--addr", addr, "--node", name}, p.args...), nil); err != nil {
				return err
			}
			p.urls = append(p.urls, "http://"+addr)
			targets = append(targets, target{Targets: []string{addr}, Labels: map[string]string{"pool": p.name, "service": "web"}})
			if err := answers(ctx, "http://"+addr+"/healthz"); err != nil {
				return err
			}
		}
	}
	if err := w.startPrometheus(ctx, fmt.Sprintf("%s%d:%d", host, number+1, promPort), targets); err != nil {
		return err
	}
	loadCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	w.endLoad = end
	for _, p := range w.pools() {
		w.load.Go(func() { p.load(loadCtx, rate/nodesPerPool) })
	}
	return nil
}

func (w *world) pools() []*pool { return append([]*pool{w.live}, w.canaries...) }

// load sends requests to all nodes of the pool until ctx ends.
func (p *pool) load(ctx context.Context, rate int) {
	targets := make([]warmup.Target, 0, len(p.urls))
	for _, url := range p.urls {
		targets = append(targets, warmup.Target{Name: url, URL: url})
	}
	warmup.Hold(ctx, spec.Warmup{Path: "/", Rate: rate, Ramp: spec.Duration(100 * time.Millisecond)}, spec.Vars{}, targets)
}

// target is one static_config of Prometheus, whose configuration may be JSON.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func (w *world) startPrometheus(ctx context.Context, addr string, targets []target) error {
	program, err := servers.Find(ctx, os.Stderr, servers.Prometheus)
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"global":         map[string]string{"scrape_interval": "1s", "scrape_timeout": "1s"},
		"scrape_configs": []any{map[string]any{"job_name": "services", "static_configs": targets}},
	})
	if err != nil {
		return fmt.Errorf("configure Prometheus: %w", err)
	}
	file := filepath.Join(w.dir, "prometheus.yml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return fmt.Errorf("configure Prometheus: %w", err)
	}
	_, err = w.group.Start(ctx, "prometheus", filepath.Join(w.dir, "prometheus.log"), []string{
		program, "--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(w.dir, "data"), "--web.listen-address=" + addr, "--log.level=warn",
	}, nil)
	if err != nil {
		return err
	}
	w.prometheus = "http://" + addr
	return answers(ctx, w.prometheus+"/-/ready")
}

// answers waits until a GET is answered with 200.
func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := get(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", url, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // only read
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // what there is of it
		return fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

// close ends everything.
func (w *world) close() error {
	if w.endLoad != nil {
		w.endLoad()
	}
	w.load.Wait()
	return errors.Join(w.group.Close(), os.RemoveAll(w.dir))
}
