// Package sweep kills a rollout at each of its external effects in turn, and
// holds what then happens to switchd's promises.
//
// The programs are the real ones and have no fault points. A proxy before
// Consul knows each write by what it is about, and the service's own start and
// stop scripts know when they are run: right before an effect or right after
// it, before its doer can learn of it, that process gets SIGKILL. It is started
// again, as by an init system, and the rollout must end right.
package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"aead.dev/minisign"

	"switchd/artifact"
	"switchd/testenv/cluster"
	"switchd/testenv/devconsul"
	"switchd/testenv/proc"
	"switchd/testenv/servers"
)

// The nodes of all rollouts, each with a Consul agent of its own. Blue has one,
// and another one that is never there: it has users and is not rolled.
const (
	blueNode  = "b1"
	greenNode = "g1" // whose agent is killed
	otherNode = "g2"
	awayNode  = "b2"
)

// The versions: green runs the old one, blue the live one, and the new one goes
// to green.
const (
	oldVersion  = "0.9.0"
	liveVersion = "1.0.0"
	newVersion  = "2.0.0"
)

// Ground is what all rollouts of a sweep share: a real Consul, the programs,
// and the releases. Each rollout has an environment and a service of its own.
type Ground struct {
	dir      string
	group    *proc.Group
	bin      cluster.Binaries
	server   string            // host:port of Consul's HTTP API
	nodes    map[string]string // the same of the nodes' agents, by node
	address  string            // of this machine's side, where replicas listen
	private  minisign.PrivateKey
	public   string // file of the public key
	releases map[string]release
	ports    int // the first one of the first rollout
	rollouts atomic.Int64
}

// release is a packed version of the service.
type release struct {
	archive string
	info    artifact.Info
}

// NewGround starts Consul. The caller closes the ground also after an error.
func NewGround(ctx context.Context, dir string) (*Ground, error) {
	g := &Ground{dir: dir, nodes: make(map[string]string), releases: make(map[string]release), ports: 15000 + rand.IntN(4000)}
	var err error
	if g.group, err = proc.NewGroup(); err != nil {
		return g, err
	}
	if g.bin, err = cluster.Build(ctx, filepath.Join(dir, "bin")); err != nil {
		return g, err
	}
	if err := g.startConsul(ctx); err != nil {
		return g, err
	}
	return g, g.pack(ctx)
}

// Close ends everything.
func (g *Ground) Close() error {
	if g.group == nil {
		return nil
	}
	return g.group.Close()
}

// startConsul starts one server and an agent for each node, each on a loopback
// address.
func (g *Ground) startConsul(ctx context.Context) error {
	program, err := servers.Find(ctx, os.Stderr, servers.Consul)
	if err != nil {
		return err
	}
	prefix := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), rand.IntN(256))
	g.address = prefix + "1"
	ports := devconsul.Ports{HTTP: g.ports - 3, Server: g.ports - 2, Serf: g.ports - 1}
	start := func(name, address string, extra map[string]any) (string, error) {
		dir := filepath.Join(g.dir, "consul", name)
		file, err := devconsul.Write(dir, name, address, ports, extra)
		if err != nil {
			return "", err
		}
		argv := []string{program, "agent", "-config-file=" + file}
		if _, err := g.group.Start(ctx, "consul "+name, filepath.Join(dir, "log"), argv, []string{"GOMAXPROCS=2"}); err != nil {
			return "", err
		}
		return net.JoinHostPort(address, strconv.Itoa(ports.HTTP)), nil
	}
	if g.server, err = start("consul", g.address, devconsul.Server()); err != nil {
		return err
	}
	for i, node := range []string{blueNode, greenNode, otherNode} {
		g.nodes[node], err = start(node, prefix+strconv.Itoa(11+i), map[string]any{
			"server": false, "retry_join": []string{net.JoinHostPort(g.address, strconv.Itoa(ports.Serf))}, "retry_interval": "1s",
		})
		if err != nil {
			return err
		}
	}
	for node, addr := range g.nodes {
		// An agent is of use once its node is in the catalog.
		if err := await(ctx, time.Minute, func() error { return inCatalog(ctx, addr, node) }); err != nil {
			return fmt.Errorf("wait for Consul: %w", err)
		}
	}
	return nil
}

func inCatalog(ctx context.Context, addr, node string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v1/catalog/node/"+node, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	var found struct{ Node *struct{ Node string } }
	if err := json.NewDecoder(response.Body).Decode(&found); err != nil {
		return err
	}
	if found.Node == nil {
		return fmt.Errorf("node %s is not in the catalog yet", node)
	}
	return nil
}

// await tries again and again, for a time.
func await(ctx context.Context, patience time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", patience, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// pack packs the versions of the service, which differ by a file only.
func (g *Ground) pack(ctx context.Context) error {
	key := filepath.Join(g.dir, "release.key")
	g.public = key + ".pub"
	if _, err := artifact.GenerateKey(g.public, key, ""); err != nil {
		return err
	}
	var err error
	if g.private, err = artifact.LoadPrivateKey(key, func() (string, error) { return "", errors.New("it has none") }); err != nil {
		return err
	}
	for _, version := range []string{oldVersion, liveVersion, newVersion} {
		dir := filepath.Join(g.dir, "releases", version)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("pack the service: %w", err)
		}
		for name, text := range map[string]string{"ctl": strings.TrimPrefix(ctl, "\n"), "version": version} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil { //nolint:gosec // one is a script
				return fmt.Errorf("pack the service: %w", err)
			}
		}
		r := release{archive: dir + ".tar.zst"}
		file, err := os.Create(r.archive)
		if err != nil {
			return fmt.Errorf("pack the service: %w", err)
		}
		r.info, err = artifact.Pack(ctx, dir, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		g.releases[version] = r
	}
	return nil
}

// ctl runs the service, which is one file with the version that runs. Each
// start and stop is a fault point before and after: when it is the one that is
// to be cut, the agent is dead when the script goes on, which it doesn't.
const ctl = `
#!/bin/sh
point() {
	echo "$1" >>"$WORLD/passed-$NODE"
	cut="$WORLD/cut-$NODE-$1-$(grep -cx "$1" "$WORLD/passed-$NODE")"
	[ -e "$cut" ] || return 0
	rm "$cut"
	read -r pid <"$WORLD/pid-$NODE"
	kill -9 "$pid"
	exit 1
}
runs=$WORLD/runs-$NODE
case $1 in
start)
	point start-before
	[ ! -e "$runs" ] || echo "$SWITCHD_VERSION was started on $NODE beside $(cat "$runs")" >>"$WORLD/broken"
	echo "$SWITCHD_VERSION" >"$runs.new" && mv "$runs.new" "$runs" || exit 1
	point start-after
	echo started ;;
status)
	read -r version <"$runs" 2>/dev/null && [ "$version" = "$SWITCHD_VERSION" ] || exit 3 ;;
stop)
	point stop-before
	rm -f "$runs"
	point stop-after ;;
esac
exit 0
`
