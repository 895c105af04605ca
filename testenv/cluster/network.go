package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"

	"switchd/testenv/netns"
)

// network gives every host of a cluster an address of its own: out of a /24 of
// the loopback range, chosen at random, so that clusters run side by side, or
// in a network namespace of its own, whose cable can be cut.
type network struct {
	prefix string // such as "127.41.7."
	opts   Options
	lan    *netns.Net // nil: all are on loopback
}

func newNetwork(ctx context.Context, opts Options) (network, error) {
	if opts.Nodes < 1 || opts.Nodes > 50 || opts.Replicas < 0 || opts.Replicas > 8 {
		return network{}, fmt.Errorf("a cluster has 1 to 50 nodes a pool and at most 8 replicas, got %d and %d", opts.Nodes, opts.Replicas)
	}
	if opts.Namespaces {
		lan, err := netns.New(ctx, netns.Options{Hosts: len(network{opts: opts}.hosts())})
		return network{lan: lan, opts: opts}, err
	}
	// 127.0.x.x is left to everything else.
	return network{prefix: fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), rand.IntN(256)), opts: opts}, nil
}

// close ends what runs on the hosts.
func (n network) close() error {
	if n.lan == nil {
		return nil
	}
	return n.lan.Close()
}

func (n network) server() string       { return n.address(0, 1) }
func (n network) replica(i int) string { return n.address(1+i, 2+i) }

func (n network) node(pool string, i int) string {
	nth, last := i, 101+i
	if pool == "green" {
		nth, last = n.opts.Nodes+i, 201+i
	}
	return n.address(1+n.opts.Replicas+nth, last)
}

// consul is the ith of several Consul servers.
func (n network) consul(i int) string {
	return n.address(1+n.opts.Replicas+2*n.opts.Nodes+i, 51+i)
}

// address is that of the nth host, whose loopback address would end with last.
func (n network) address(nth, last int) string {
	if n.lan != nil {
		return n.lan.Hosts()[nth].Addr().String()
	}
	return fmt.Sprintf("%s%d", n.prefix, last)
}

// host is the one with an address; nil: it has no namespace.
func (n network) host(address string) *netns.Host {
	if n.lan == nil {
		return nil
	}
	for _, h := range n.lan.Hosts() {
		if h.Addr().String() == address {
			return h
		}
	}
	return nil
}

// command runs a program on the host with an address.
func (n network) command(ctx context.Context, address, name string, args ...string) *exec.Cmd {
	if h := n.host(address); h != nil {
		return h.Command(ctx, name, args...)
	}
	return exec.CommandContext(ctx, name, args...)
}

// dial connects to a host from outside: where hosts have namespaces, from the
// one that is asked, since this process is on none of them.
func (n network) dial(ctx context.Context, protocol, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err == nil {
		if h := n.host(to.Addr().String()); h != nil {
			return h.Dial(ctx, to)
		}
	}
	return new(net.Dialer).DialContext(ctx, protocol, address)
}

func (n network) hosts() []string {
	hosts := []string{n.server()}
	for i := range n.opts.Replicas {
		hosts = append(hosts, n.replica(i))
	}
	for i := range n.opts.Nodes {
		hosts = append(hosts, n.node("blue", i), n.node("green", i))
	}
	if n.opts.ConsulServers > 1 {
		for i := range n.opts.ConsulServers {
			hosts = append(hosts, n.consul(i))
		}
	}
	return hosts
}

// ports are the same on all hosts, as they would be in a data center.
type ports struct {
	consulHTTP, consulServer, consulSerf, consulGRPC, prometheus, serveHTTP, dns, app int
}

// freePorts finds ports that are free on all hosts for TCP and UDP, below the
// range from which the kernel takes the ports of outgoing connections.
func (n network) freePorts() (ports, error) {
	if n.lan != nil { // all of them are
		return ports{8500, 8300, 8301, 8502, 9090, 8080, 5353, 8000}, nil
	}
	var p ports
	taken := make(map[int]bool)
	for _, port := range []*int{&p.consulHTTP, &p.consulServer, &p.consulSerf, &p.consulGRPC, &p.prometheus, &p.serveHTTP, &p.dns, &p.app} {
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
