package devconsul

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"switchd/consul"
	"switchd/testenv/proc"
	"switchd/testenv/servers"
)

// Lone is one Consul server of a test.
type Lone struct {
	tb      testing.TB
	group   *proc.Group
	binary  string
	file    string
	address string
	ports   Ports
	acl     bool
	process *proc.Process
}

// Start starts a Consul server for the test and returns when it has a leader.
// Settings in extra win over the usual ones.
func Start(tb testing.TB, extra map[string]any) *Lone {
	tb.Helper()
	return start(tb, extra, false)
}

// StartMesh starts one that answers proxies too, at GRPC.
func StartMesh(tb testing.TB) *Lone {
	tb.Helper()
	return start(tb, nil, true)
}

func start(tb testing.TB, extra map[string]any, mesh bool) *Lone {
	tb.Helper()
	binary, err := servers.Find(tb.Context(), os.Stderr, servers.Consul)
	if err != nil {
		tb.Fatalf("find Consul: %v", err)
	}
	dir := tb.TempDir() // before the group, which ends before it is removed
	l := &Lone{
		tb: tb, group: proc.ForTest(tb), binary: binary,
		address: fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(250)),
	}
	for _, port := range []*int{&l.ports.HTTP, &l.ports.Server, &l.ports.Serf} {
		*port = l.freePort()
	}
	if mesh {
		l.ports.GRPC = l.freePort()
	}
	_, l.acl = extra["acl"]
	settings := Server()
	maps.Copy(settings, extra)
	l.file, err = Write(dir, "server", l.address, l.ports, settings)
	if err != nil {
		tb.Fatal(err)
	}
	l.Start()
	return l
}

func (l *Lone) freePort() int {
	l.tb.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(l.tb.Context(), "tcp", l.address+":0")
	if err != nil {
		l.tb.Fatalf("find a free port: %v", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

// Addr is the HTTP address.
func (l *Lone) Addr() string { return net.JoinHostPort(l.address, fmt.Sprint(l.ports.HTTP)) }

// GRPC is the address that proxies ask, of a server that StartMesh has started.
func (l *Lone) GRPC() string { return net.JoinHostPort(l.address, fmt.Sprint(l.ports.GRPC)) }

// Start starts the server, also again after Kill.
func (l *Lone) Start() {
	l.tb.Helper()
	var err error
	l.process, err = l.group.Start(l.tb.Context(), "consul", filepath.Join(filepath.Dir(l.file), "log"), []string{l.binary, "agent", "-config-file=" + l.file}, nil)
	if err != nil {
		l.tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(l.tb.Context(), time.Minute)
	defer cancel()
	for !l.leads(ctx) {
		select {
		case <-ctx.Done():
			l.tb.Fatal("Consul has no leader after a minute")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// leads tells whether the server has a leader that answers consistent reads.
func (l *Lone) leads(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr()+"/v1/catalog/nodes?consistent", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	// With ACLs, the list that nobody in particular gets is empty.
	return err == nil && response.StatusCode == http.StatusOK && (len(body) > 4 || l.acl)
}

// Kill kills the server.
func (l *Lone) Kill() {
	l.tb.Helper()
	if err := l.process.Kill(); err != nil {
		l.tb.Fatal(err)
	}
	<-l.process.Done()
}

// Process is the server's process.
func (l *Lone) Process() *proc.Process { return l.process }

// Client returns a client for the server.
func (l *Lone) Client() *consul.Client {
	l.tb.Helper()
	client, err := consul.NewClient(consul.Flags{HTTPAddr: l.Addr()})
	if err != nil {
		l.tb.Fatal(err)
	}
	return client
}
