package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"
)

// Config is what the app does. A file has the flags' names as keys, with _ for
// the dash, and durations as text, such as "1m30s".
type Config struct {
	Addr          string        `default:"127.0.0.1:8080" help:"Address to listen on."`
	Version       string        `default:"${builtin}" help:"Version to tell."`
	Node          string        `default:"${hostname}" help:"Name of the node to tell."`
	ErrorRate     float64       `help:"Share of requests answered with 500, from 0 to 1."`
	Latency       time.Duration `help:"Time that each answer takes."`
	Burn          time.Duration `help:"CPU time that each answer takes."`
	ColdStart     time.Duration `help:"Time after the start in which answers are slow, less and less so."`
	Unhealthy     bool          `help:"Answer /healthz with 503."`
	IgnoreSIGTERM bool          `name:"ignore-sigterm" help:"Do not end on SIGTERM."`
	ExitAfter     time.Duration `help:"Exit with status 1 after this time; 0 means never."`

	File kong.ConfigFlag `name:"config" placeholder:"FILE" help:"JSON file with settings. Those of app.json beside the binary come before it, flags after it."`
}

// maxConfig bounds a config file, in bytes.
const maxConfig = 64 << 10

// parse returns the settings of app.json in dir, of the file that --config
// names, and of the flags: the later win.
func parse(args []string, builtin, dir string) (Config, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return Config{}, fmt.Errorf("name this node: %w", err)
	}
	var cfg Config
	parser, err := kong.New(&cfg,
		kong.Name("app"),
		kong.Description("The sample service of switchd's tests and demo."),
		kong.Vars{"builtin": builtin, "hostname": hostname},
		kong.Configuration(bounded, filepath.Join(dir, "app.json")),
	)
	if err != nil {
		return Config{}, fmt.Errorf("read the settings: %w", err)
	}
	if _, err := parser.Parse(args); err != nil {
		return Config{}, fmt.Errorf("read the settings: %w", err)
	}
	return cfg, nil
}

// bounded reads a config file.
func bounded(r io.Reader) (kong.Resolver, error) {
	return kong.JSON(io.LimitReader(r, maxConfig))
}

// Validate refuses what can't be meant; kong calls it.
func (c *Config) Validate() error {
	if inRange := c.ErrorRate >= 0 && c.ErrorRate <= 1; !inRange { // NaN isn't.
		return fmt.Errorf("error rate cannot be %v: it is a share from 0 to 1", c.ErrorRate)
	}
	if min(c.Latency, c.Burn, c.ColdStart, c.ExitAfter) < 0 {
		return errors.New("a duration cannot be negative")
	}
	return nil
}
