package main

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"switchd/artifact"
)

func TestRun_WaitsForConsulAndKeepsASecondAgentOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := filepath.Join(dir, "release.key")
	if _, err := artifact.GenerateKey(key+".pub", key, ""); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	args := []string{"run", "--env", "prod", "--data", data, "--trusted-key", key + ".pub", "--http-addr", "127.0.0.1:1"}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	said := make(lines, 100)
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, said, said) }()

	// It tells what it waits for, and where.
	want := regexp.MustCompile(`level=WARN msg="waiting for the local Consul agent \(CONSUL_HTTP_ADDR, --http-addr\)" address=127\.0\.0\.1:1 error="ask the local Consul agent for its name: Consul can't be reached: dial tcp 127\.0\.0\.1:1: connect: connection refused"`)
	select {
	case line := <-said:
		if !want.MatchString(line) {
			t.Errorf("got %q, want %s", line, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was said")
	}

	// Meanwhile the directory is its own.
	var stdout, stderr strings.Builder
	if status := run(t.Context(), args, &stdout, &stderr); status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	if got, want := stderr.String(), "agent: another agent uses "+data+" ("+data+"/lock is locked); give each agent a data directory of its own\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	// An end that was asked for is no failure.
	stop()
	if status := <-ended; status != 0 {
		t.Errorf("status %d, want 0", status)
	}
}

// lines takes what a command prints; what nobody takes out is dropped.
type lines chan string

func (l lines) Write(text []byte) (int, error) {
	select {
	case l <- string(text):
	default:
	}
	return len(text), nil
}
