//go:build linux

package servers_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/testenv/proc"
	"switchd/testenv/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// find finds a server that was built, whatever is on PATH.
func find(t *testing.T, name string) servers.Found {
	t.Helper()
	found, err := (&servers.Finder{Progress: t.Output(), SkipPath: true}).Find(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs a server until the test ends.
func start(t *testing.T, argv ...string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	if _, err := proc.ForTest(t).Start(t.Context(), filepath.Base(argv[0]), log, argv, nil); err != nil {
		t.Fatal(err)
	}
}

// ports returns n TCP ports of the loopback address that are free.
func ports(t *testing.T, n int) []int {
	t.Helper()
	var free []int
	for range n {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close() //nolint:errcheck // Its port was all that was wanted.
		free = append(free, listener.Addr().(*net.TCPAddr).Port)
	}
	return free
}

// get asks for url until it answers with 200 and returns the body.
func get(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for {
		body, err := getOnce(ctx, client, url)
		if err == nil {
			return body
		}
		select {
		case <-ctx.Done():
			t.Fatalf("get %s: %v", url, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func getOnce(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return string(body), err
}

func TestFind_KnowsItsServers(t *testing.T) {
	t.Parallel()
	if got, want := servers.Names(), []string{servers.Consul, servers.Prometheus, servers.Alertmanager, servers.Promtool}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := servers.Find(t.Context(), nil, "etcd"); err == nil || !strings.Contains(err.Error(), "known are [consul prometheus alertmanager promtool]") {
		t.Errorf("an unknown server: got %v", err)
	}
}

func TestConsul_HasItsUI(t *testing.T) {
	t.Parallel()
	consul := find(t, servers.Consul)
	p := ports(t, 4)
	start(t, consul.Path, "agent", "-dev", "-bind=127.0.0.1", "-log-level=warn", "-hcl", fmt.Sprintf(
		`ports { http = %d, server = %d, serf_lan = %d, serf_wan = %d, dns = -1, grpc = -1, grpc_tls = -1 }`, p[0], p[1], p[2], p[3]))
	base := fmt.Sprintf("http://127.0.0.1:%d", p[0])
	if page := get(t, base+"/ui/"); !strings.Contains(page, "<html") || !strings.Contains(page, "Consul") {
		t.Errorf("/ui/ is no page of Consul's: %.200s", page)
	}
	// A development agent answers with indented JSON.
	if self := get(t, base+"/v1/agent/self"); !strings.Contains(self, `"Version": "`+consul.Version+`"`) {
		t.Errorf("the agent doesn't say that it is version %s", consul.Version)
	}
}

func TestPrometheus_TellsItsVersion(t *testing.T) {
	t.Parallel()
	prometheus := find(t, servers.Prometheus)
	p := ports(t, 1)
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	// The discovery of Consul must have been built in.
	write(t, config, "scrape_configs: [{job_name: app, consul_sd_configs: [{server: '127.0.0.1:1'}]}]\n")
	start(t, prometheus.Path, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", p[0]))
	if info := get(t, fmt.Sprintf("http://127.0.0.1:%d/api/v1/status/buildinfo", p[0])); !strings.Contains(info, `"version":"`+prometheus.Version+`"`) {
		t.Errorf("want version %s in %s", prometheus.Version, info)
	}
}

func TestAlertmanager_TellsItsVersion(t *testing.T) {
	t.Parallel()
	alertmanager := find(t, servers.Alertmanager)
	p := ports(t, 1)
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	write(t, config, "route: {receiver: none}\nreceivers: [{name: none}]\n")
	start(t, alertmanager.Path, "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"),
		"--cluster.listen-address=", fmt.Sprintf("--web.listen-address=127.0.0.1:%d", p[0]))
	if status := get(t, fmt.Sprintf("http://127.0.0.1:%d/api/v2/status", p[0])); !strings.Contains(status, `"version":"`+alertmanager.Version+`"`) {
		t.Errorf("want version %s in %s", alertmanager.Version, status)
	}
}
