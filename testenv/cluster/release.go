package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
	"time"
)

// keys makes the key pair that releases are signed with.
func (c *Cluster) keys(ctx context.Context) error {
	dir, err := c.path("keys")
	if err != nil {
		return err
	}
	c.Key = filepath.Join(dir, "release.key")
	_, err = c.Switchd(ctx, "keygen", c.Key)
	return err
}

// Environ is what a shell needs to use the cluster by hand.
func (c *Cluster) Environ() []string {
	return []string{
		"CONSUL_HTTP_ADDR=" + c.operated,
		"SWITCHD_ENV=" + Env,
		"SWITCHD_KEY=" + c.Key,
	}
}

// Switchd runs a command of the CLI and returns what it printed. An error
// carries the exit status and what it said on standard error.
func (c *Cluster) Switchd(ctx context.Context, args ...string) (string, error) {
	return c.run(c.Command(ctx, args...), args)
}

func (*Cluster) run(command *exec.Cmd, args []string) (string, error) {
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), &CommandError{Args: args, Status: command.ProcessState.ExitCode(), Stderr: stderr.String(), Err: err}
	}
	return stdout.String(), nil
}

// Command prepares a command of the CLI.
func (c *Cluster) Command(ctx context.Context, args ...string) *exec.Cmd {
	return c.command(ctx, typist(args), args...)
}

func (c *Cluster) command(ctx context.Context, person string, args ...string) *exec.Cmd {
	command := c.net.command(ctx, c.net.server(), c.Bin.Switchd, args...)
	command.Env = append(append(os.Environ(), c.Environ()...), "CONSUL_HTTP_TOKEN="+c.Token(person))
	// Ctrl-C is for the demo, which ends its commands itself.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	return command
}

// CommandError is a command that ended with another status than 0.
type CommandError struct {
	Args   []string
	Status int
	Stderr string
	Err    error
}

// Error tells the command, its status and its words.
func (e *CommandError) Error() string {
	return fmt.Sprintf("switchd %v: exit status %d: %s", e.Args, e.Status, e.Stderr)
}

// Unwrap gives the cause.
func (e *CommandError) Unwrap() error { return e.Err }

// Status is the exit status of a command's error; 0 for none, -1 where it
// could not be run.
func Status(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*CommandError](err); ok {
		return e.Status
	}
	return -1
}

// App is a version of the sample app to be released.
type App struct {
	Version   string  `json:"version"`
	ErrorRate float64 `json:"error_rate,omitempty"`
	Latency   string  `json:"latency,omitempty"`
	ColdStart string  `json:"cold_start,omitempty"`
	Unhealthy bool    `json:"unhealthy,omitempty"`
	ExitAfter string  `json:"exit_after,omitempty"`
	// IgnoreSIGTERM has it outlive the stop signal.
	IgnoreSIGTERM bool `json:"ignore_sigterm,omitempty"`
}

// Pack makes a folder of a version of the app, to be published.
func (c *Cluster) Pack(app App) (string, error) {
	dir, err := c.path("releases", app.Version)
	if err != nil {
		return "", err
	}
	binary, err := os.ReadFile(c.Bin.App)
	if err != nil {
		return "", fmt.Errorf("pack the app: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app"), binary, 0o700); err != nil {
		return "", fmt.Errorf("pack the app: %w", err)
	}
	config, err := json.Marshal(app)
	if err != nil {
		return "", fmt.Errorf("pack the app: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app.json"), config, 0o600); err != nil {
		return "", fmt.Errorf("pack the app: %w", err)
	}
	return dir, nil
}

// Publish packs a version of the app and publishes it.
func (c *Cluster) Publish(ctx context.Context, app App) error {
	dir, err := c.Pack(app)
	if err != nil {
		return err
	}
	_, err = c.Switchd(ctx, "publish", "web", app.Version, dir)
	return err
}

// Service is what differs between the services that tests and the demo want.
type Service struct {
	Quorum         int
	MaxUnavailable int
	MinHealthyTime time.Duration
	MaxFailures    int
	StopGrace      time.Duration
	Weights        []int
	Looks          int
	Bake           time.Duration
	AfterBake      string
	Warmup         bool
	Analysis       bool
	Drain          bool
	TTL            time.Duration
	// Extra is more HCL for the service's block.
	Extra string
}

// DefaultService rolls a pool of three in a few seconds.
func DefaultService() Service {
	return Service{
		Quorum: 2, MaxUnavailable: 1, MinHealthyTime: 500 * time.Millisecond, StopGrace: 5 * time.Second, Weights: []int{20}, Looks: 3,
		Bake: 5 * time.Second, AfterBake: "keep", Warmup: true, Analysis: true, Drain: true, TTL: time.Second,
	}
}

// Apply writes the inputs and applies them.
func (c *Cluster) Apply(ctx context.Context, s Service) error {
	dir, err := c.path("inputs")
	if err != nil {
		return err
	}
	parsed, err := template.New("inputs").Parse(inputs)
	if err != nil {
		return fmt.Errorf("write the inputs: %w", err)
	}
	markName, mark := c.Group.Mark()
	var text bytes.Buffer
	if err := parsed.Execute(&text, map[string]any{
		"S": s, "Env": Env, "Zone": Zone, "Prometheus": c.PrometheusURL(), "Port": c.ports.app,
		"Blue": c.nodeNames("blue"), "MarkName": markName, "Mark": mark,
	}); err != nil {
		return fmt.Errorf("write the inputs: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "web.hcl"), text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write the inputs: %w", err)
	}
	_, err = c.Switchd(ctx, "apply", dir)
	return err
}

func (c *Cluster) nodeNames(pool string) string {
	var names []string
	for i := range c.Nodes {
		names = append(names, nodeName(pool, i))
	}
	text, _ := json.Marshal(names) // of strings, which never fails
	return string(text)
}

// inputs has one pool by name and one by metadata, so that both ways are in
// use.
const inputs = `owner = "web-team"

environment "{{.Env}}" {
  prometheus = "{{.Prometheus}}"
  zone "{{.Zone}}" {
    name_servers = ["ns1.{{.Zone}}", "ns2.{{.Zone}}"]
    admin        = "hostmaster@{{.Zone}}"
    ttl          = "5s"
    negative_ttl = "1s"
  }
}

service "web" {
  port = {{.Port}}
  pool "blue"  { nodes = {{.Blue}} }
  pool "green" { node_meta = { pool = "web-green" } }

  runtime "process" {
    command = ["./app", "--addr", "${address}:${port}", "--node", "${node}"]
    env     = { "{{.MarkName}}" = "{{.Mark}}" }
    stop_grace = "{{.S.StopGrace}}"
  }
  health {
    path     = "/healthz"
    interval = "1s"
    timeout  = "1s"
  }
  roll {
    quorum           = {{.S.Quorum}}
    max_unavailable  = {{.S.MaxUnavailable}}
    min_healthy_time = "{{.S.MinHealthyTime}}"
    healthy_deadline = "20s"
    max_failures     = {{.S.MaxFailures}}
  }
  smoke "version" {
    path      = "/version"
    status    = 200
    want_body = "${version}"
    retries   = 3
  }
{{- if .S.Warmup}}
  warmup {
    path       = "/"
    rate       = 50
    ramp       = "1s"
    window     = "500ms"
    windows    = 3
    tolerance  = 0.5
    max_errors = 0.5 # the warm-up is there to warm; errors are the analysis' matter
  }
{{- end}}
{{- if .S.Analysis}}
  analysis {
    interval = "1s"
    looks    = {{.S.Looks}}
    settle   = "0s"
    history  = "0s" # there is none yet
    noise    = 0.05
    errors {
      selector = "version=\"${version}\""
      harmless = 0.01
      require  = "no_regression" # no_worse needs more requests than there are
      after    = "{{.S.Looks}}s"
    }
    metric "latency-p99" {
      query         = "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{service=\"web\",pool=\"${pool}\",version=\"${version}\"}[5s])))"
      max           = 0.5
      failure_limit = 1
    }
  }
{{- end}}
  switch "dns" {
    name = "web"
    ttl  = "{{.S.TTL}}"
  }
{{- if .S.Weights}}
  weights = [{{range $i, $w := .S.Weights}}{{if $i}}, {{end}}{{$w}}{{end}}]
{{- end}}
  drain {
    least = "1s" # there are no browsers here
{{- if .S.Drain}}
    query = "sum(rate(http_requests_total{service=\"web\",pool=\"${pool}\"}[3s]))"
    below = 0.5
    for   = "1s"
{{- end}}
  }
  bake       = "{{.S.Bake}}"
  after_bake = "{{.S.AfterBake}}"
{{.S.Extra}}
}
`
