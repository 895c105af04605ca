// Package devprometheus runs a single Prometheus for a test: on loopback, with the
// address that the system gave it.
package devprometheus

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"switchd/testenv/servers"
)

// Lone is a Prometheus that a test has started.
type Lone struct {
	URL string

	kill func()
}

// Kill ends it and waits until it is gone.
func (l *Lone) Kill() { l.kill() }

// Start starts one with a configuration, in a folder and on a port of its own.
func Start(tb testing.TB, config string) *Lone {
	tb.Helper()
	return StartAt(tb, tb.TempDir(), "127.0.0.1:0", config)
}

// StartAt starts one on a data folder and an address, such as those of one that was
// killed. It returns when samples are taken in; the server ends with the test.
func StartAt(tb testing.TB, dir, listen, config string) *Lone {
	tb.Helper()
	program, err := servers.Find(tb.Context(), os.Stderr, servers.Prometheus)
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), //nolint:gosec // built by the test
		"--web.listen-address="+listen, "--web.enable-remote-write-receiver", "--scrape.discovery-reload-interval=100ms")
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		tb.Fatal(err)
	}
	listening, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		announced := regexp.MustCompile(`Listening on.*address=(127\.0\.0\.1:\d+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := announced.FindStringSubmatch(lines.Text()); m != nil {
				listening <- m[1]
			}
		}
		_ = cmd.Wait() // killed on purpose
	}()
	l := &Lone{kill: func() { cancel(); <-ended }}
	tb.Cleanup(l.kill)
	select {
	case addr := <-listening:
		l.URL = "http://" + addr
		l.ready(tb)
	case <-ended:
		tb.Fatal("prometheus ended at its start")
	case <-time.After(30 * time.Second):
		tb.Fatal("prometheus doesn't listen after 30 s")
	}
	return l
}

// ready waits until it takes samples in, which is somewhat after it listens.
func (l *Lone) ready(tb testing.TB) {
	tb.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for tb.Context().Err() == nil {
		req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, l.URL+"/-/ready", http.NoBody)
		if err != nil {
			tb.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			tb.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
