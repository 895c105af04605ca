package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// network gives every host of a cluster an address of its own out of a /24
// of the loopback range, chosen at random, so that clusters run side by side.
type network struct {
	prefix string // such as "127.41.7."
	opts   Options
}

func newNetwork(opts Options) (network, error) {
	if opts.Nodes < 1 || opts.Nodes > 50 || opts.Replicas < 0 || opts.Replicas > 8 {
		return network{}, fmt.Errorf("a cluster has 1 to 50 nodes a pool and at most 8 replicas, got %d and %d", opts.Nodes, opts.Replicas)
	}
	// 127.0.x.x is left to everything else.
	return network{prefix: fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), rand.IntN(256)), opts: opts}, nil
}

func (n network) server() string       { return n.prefix + "1" }
func (n network) replica(i int) string { return fmt.Sprintf("%s%d", n.prefix, 2+i) }

func (n network) node(pool string, i int) string {
	base := 101
	if pool == "green" {
		base = 201
	}
	return fmt.Sprintf("%s%d", n.prefix, base+i)
}

func (n network) hosts() []string {
	hosts := []string{n.server()}
	for i := range n.opts.Replicas {
		hosts = append(hosts, n.replica(i))
	}
	for i := range n.opts.Nodes {
		hosts = append(hosts, n.node("blue", i), n.node("green", i))
	}
	return hosts
}

// ports are the same on all hosts, as they would be in a data center.
type ports struct {
	consulHTTP, consulServer, consulSerf, prometheus, serveHTTP, dns, app int
}

// freePorts finds ports that are free on all hosts for TCP and UDP, below the
// range from which the kernel takes the ports of outgoing connections.
func (n network) freePorts() (ports, error) {
	var p ports
	taken := make(map[int]bool)
	for _, port := range []*int{&p.consulHTTP, &p.consulServer, &p.consulSerf, &p.prometheus, &p.serveHTTP, &p.dns, &p.app} {
		const tries = 200
		for range tries {
			candidate := 15000 + rand.IntN(15000)
			if !taken[candidate] && n.free(candidate) {
				*port, taken[candidate] = candidate, true
				break
			}
		}
		if *port == 0 {
			return p, errors.New("no port is free on all addresses of the cluster")
		}
	}
	return p, nil
}

func (n network) free(port int) bool {
	var listen net.ListenConfig
	for _, host := range n.hosts() {
		tcp, err := listen.Listen(context.Background(), "tcp", join(host, port))
		if err != nil {
			return false
		}
		_ = tcp.Close()
		udp, err := listen.ListenPacket(context.Background(), "udp", join(host, port))
		if err != nil {
			return false
		}
		_ = udp.Close()
	}
	return true
}
