package docker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// DefaultSocket is Docker's own.
const DefaultSocket = "unix:///var/run/docker.sock"

// socketSetting names another one in Instance.Settings.
const socketSetting = "socket"

// dialTime bounds how long an engine may take to accept a connection.
const dialTime = 5 * time.Second

// engine is a client of one engine. One that nothing is asked any more keeps
// no connection.
type engine struct {
	*client.Client
	socket string
}

func newEngine(socket string) (*engine, error) {
	path, ok := strings.CutPrefix(socket, "unix://")
	if !ok || !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("socket %q is no address of a local engine: write it as %s", socket, DefaultSocket)
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "unix", path)
		},
	}
	c, err := client.New(client.WithHost(socket), client.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", socket, err)
	}
	return &engine{Client: c, socket: socket}, nil
}

// explain says what is to be done about an engine that doesn't answer.
func (e *engine) explain(err error) error {
	if err != nil && client.IsErrConnectionFailed(err) {
		return fmt.Errorf("%w; look whether the container engine runs (systemctl status docker, or podman.socket), and whether the agent's user may open %s", err, e.socket)
	}
	return err
}
