package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestParse_LaterSettingsWin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "app.json"), `{"version":"1.0.0","error_rate":0.1,"latency":"5ms","unhealthy":true}`)
	file := write(t, filepath.Join(dir, "other.json"), `{"version":"2.0.0","error_rate":0.2}`)
	cfg, err := parse([]string{"--config", file, "--version", "3.0.0", "--node", "n1"}, "dev", dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Addr: "127.0.0.1:8080", Version: "3.0.0", Node: "n1", ErrorRate: 0.2,
		Latency: 5 * time.Millisecond, Unhealthy: true, File: cfg.File,
	}
	if cfg != want {
		t.Errorf("got %+v, want %+v", cfg, want)
	}
}

func TestParse_NeedsNoFile(t *testing.T) {
	t.Parallel()
	cfg, err := parse(nil, "1.2.3", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Version != "1.2.3" || cfg.Node == "" {
		t.Errorf("got %+v, want the built-in version and the host's name", cfg)
	}
}

func TestParse_RefusesWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--error-rate", "1.1"}, {"--error-rate", "NaN"}, {"--error-rate=-0.1"},
		{"--latency=-1s"}, {"--burn=-1s"}, {"--config", "/no/such/file"}, {"--colour", "red"},
	} {
		if cfg, err := parse(args, "dev", t.TempDir()); err == nil {
			t.Errorf("%v: got %+v and no error", args, cfg)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"version":"1.0.0","error_rate":0.5,"cold_start":"3s"}`)
	f.Add(`{"error_rate":"many"}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "app.json"), text)
		cfg, err := parse(nil, "dev", dir)
		if err == nil && (cfg.Latency < 0 || cfg.ErrorRate > 1) {
			t.Errorf("%q: accepted %+v", text, cfg)
		}
	})
}
