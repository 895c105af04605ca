package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Courier sends each message from a process of its own, which is killed when its
// time is over. The library that speaks to all those services knows no context:
// one that hangs would keep a goroutine and a connection for ever, and one that
// never ends its answer all memory.
type Courier struct {
	// Program and Args start a process that calls Deliver.
	Program string
	Args    []string
}

var _ Sender = Courier{}

// order is what a courier's process is told. It goes by a pipe: command lines and
// environments are for others to read.
type order struct {
	URL     string  `json:"url"`
	Kind    string  `json:"kind"`
	Message Message `json:"message"`
}

// killTime is how long a killed process may take to be gone.
const killTime = 2 * time.Second

// Send implements Sender.
func (c Courier) Send(ctx context.Context, to Address, m Message) error {
	text, err := json.Marshal(order{URL: to.url, Kind: to.kind, Message: m})
	if err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	var said head
	cmd := exec.CommandContext(ctx, c.Program, c.Args...)
	cmd.Stdin, cmd.Stderr, cmd.WaitDelay = bytes.NewReader(text), &said, killTime
	cmd.Env = environ(os.Environ())
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("send by %s: no end in time: %w", to.kind, context.Cause(ctx))
	case err == nil:
		return nil
	}
	words := strings.TrimPrefix(strings.TrimSpace(said.String()), filepath.Base(c.Program)+": ")
	if _, exited := errors.AsType[*exec.ExitError](err); !exited || words == "" {
		words = err.Error()
	}
	return fmt.Errorf("send by %s: %s", to.kind, tame(scrub(words, to.url), maxError, false))
}

const maxError = 300

// environ is what a courier needs to find its way out, and nothing else: Consul's
// token stays here.
func environ(all []string) []string {
	needed := []string{
		"PATH", "HOME", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "GORACE", "GOCOVERDIR",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	}
	return slices.DeleteFunc(slices.Clone(all), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return !slices.Contains(needed, name)
	})
}

// head keeps the beginning of what a process says; what is too much is dropped.
type head struct{ bytes.Buffer }

const maxSaid = 8 << 10

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	if room := maxSaid - h.Len(); room > 0 {
		h.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
