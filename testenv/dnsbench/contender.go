//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/procfs"

	"switchd/testenv/nameserver"
	"switchd/testenv/proc"
	"switchd/testenv/servers"
)

// contender is a name server that is measured.
type contender struct {
	name string
	// start starts it in the group and returns when it answers.
	start func(ctx context.Context, group *proc.Group, how how) (netip.AddrPort, error)
}

// how says how a contender runs.
type how struct {
	dir  string // of its own
	zone string // the master file
	cpus []int  // that it may use
}

// pin goes before the command line of what is to use these cores only.
func pin(cpus []int) []string {
	list := make([]string, len(cpus))
	for i, cpu := range cpus {
		list[i] = strconv.Itoa(cpu)
	}
	return []string{"taskset", "-c", strings.Join(list, ",")}
}

// names are the contenders in the order of the tables.
func names() []string {
	return []string{switchd, "NSD", "Knot", "BIND", "CoreDNS", "CoreDNS+cache"}
}

const switchd = "switchd"

// contenderOf returns the contender of a name. Programs is where switchd was
// built.
func contenderOf(name, programs string) (contender, error) {
	c := contender{name: name}
	switch name {
	case switchd:
		c.start = func(ctx context.Context, group *proc.Group, h how) (netip.AddrPort, error) {
			return startAt(ctx, group, h, name, func(addr netip.AddrPort) ([]string, error) {
				return []string{filepath.Join(programs, "switchd"), "serve", "--dns-only", "--zone", origin + "=" + h.zone, "--dns-listen", addr.String()}, nil
			})
		}
	case "NSD", "Knot", "BIND":
		c.start = func(ctx context.Context, group *proc.Group, h how) (netip.AddrPort, error) {
			return startNameserver(ctx, group, h, nameserver.Kind(name))
		}
	case "CoreDNS", "CoreDNS+cache":
		c.start = func(ctx context.Context, group *proc.Group, h how) (netip.AddrPort, error) {
			return startCoreDNS(ctx, group, h, name, name == "CoreDNS+cache")
		}
	default:
		return c, fmt.Errorf("unknown contender %q; known are %s", name, strings.Join(names(), ", "))
	}
	return c, nil
}

// startNameserver starts one of Debian's. They limit no rates, answer no more
// than they have to, and write no log of queries; NSD answers cookies as BIND
// does by itself. Knot would need a module for that, and has it easier.
func startNameserver(ctx context.Context, group *proc.Group, h how, kind nameserver.Kind) (netip.AddrPort, error) {
	text, err := os.ReadFile(h.zone)
	if err != nil {
		return netip.AddrPort{}, err
	}
	o := nameserver.Options{
		Dir: h.dir, Wrap: pin(h.cpus), Workers: len(h.cpus), Minimal: true,
		Zones: []nameserver.Zone{{Origin: origin, Text: string(text)}},
	}
	if kind == nameserver.NSD {
		o.Extra = []string{"answer-cookie: yes"}
	}
	server, err := nameserver.Start(ctx, group, kind, o)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return server.Addr(), nil
}

// startCoreDNS starts CoreDNS with its file plugin, and the cache before it.
func startCoreDNS(ctx context.Context, group *proc.Group, h how, name string, cache bool) (netip.AddrPort, error) {
	program, err := servers.Find(ctx, os.Stderr, servers.CoreDNS)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return startAt(ctx, group, h, name, func(addr netip.AddrPort) ([]string, error) {
		plugins := "file " + h.zone
		if cache {
			plugins = "cache\n\t" + plugins
		}
		corefile := filepath.Join(h.dir, "Corefile")
		text := fmt.Sprintf("%s.:%d {\n\tbind %s\n\t%s\n}\n", origin, addr.Port(), addr.Addr(), plugins)
		return []string{program, "-quiet", "-conf", corefile}, os.WriteFile(corefile, []byte(text), 0o600)
	})
}

const (
	// startTimeout bounds how long a server may take until it answers.
	startTimeout = 2 * time.Minute
	// startEvery is the pause between two looks.
	startEvery = 20 * time.Millisecond
)

// startAt starts the command at a free port and waits until it answers.
func startAt(ctx context.Context, group *proc.Group, h how, name string, command func(netip.AddrPort) ([]string, error)) (netip.AddrPort, error) {
	addr, err := freePort(ctx)
	if err != nil {
		return addr, err
	}
	argv, err := command(addr)
	if err != nil {
		return addr, err
	}
	process, err := group.Start(ctx, name, filepath.Join(h.dir, "log"), append(pin(h.cpus), argv...), nil)
	if err != nil {
		return addr, err
	}
	return addr, awaitAnswer(ctx, process, addr)
}

// awaitAnswer waits until a server answers for the zone.
func awaitAnswer(ctx context.Context, process *proc.Process, addr netip.AddrPort) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no answer within %s", startTimeout))
	defer cancel()
	query := new(dns.Msg)
	query.SetQuestion(origin+".", dns.TypeSOA)
	client := dns.Client{Timeout: time.Second}
	for {
		reply, _, err := client.ExchangeContext(ctx, query, addr.String())
		if err == nil && reply.Authoritative && len(reply.Answer) > 0 {
			return nil
		}
		select {
		case <-process.Done():
			tail, _ := process.LogTail()
			return fmt.Errorf("it has ended:\n%s", tail)
		case <-ctx.Done():
			tail, _ := process.LogTail()
			return fmt.Errorf("%w\n%s", context.Cause(ctx), tail)
		case <-time.After(startEvery):
		}
	}
}

// freePort returns a port that is free for UDP, of an address of the loopback
// network that nobody else is likely to have.
func freePort(ctx context.Context) (netip.AddrPort, error) {
	addr := netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(254)), byte(rand.IntN(256)), byte(1 + rand.IntN(250))})
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp4", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find a free port: %w", err)
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	return netip.ParseAddrPort(conn.LocalAddr().String())
}

// running is a contender that runs.
type running struct {
	group *proc.Group
	addr  netip.AddrPort
	took  time.Duration // until it answered
	dir   string
}

func (c contender) run(ctx context.Context, zone string, cpus []int) (*running, error) {
	// Knot has a socket in its folder, whose path must be short.
	dir, err := os.MkdirTemp("", "dnsbench-")
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	group, err := proc.NewGroup()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.name, err), os.RemoveAll(dir))
	}
	r := &running{group: group, dir: dir}
	begin := time.Now()
	if r.addr, err = c.start(ctx, group, how{dir: dir, zone: zone, cpus: cpus}); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.name, err), r.close())
	}
	r.took = time.Since(begin)
	return r, nil
}

func (r *running) close() error { return errors.Join(r.group.Close(), os.RemoveAll(r.dir)) }

// cpu is the time that all its processes have had, user and system.
func (r *running) cpu() (time.Duration, error) {
	var sum float64
	err := r.each(func(p procfs.Proc) error {
		stat, err := p.Stat()
		sum += stat.CPUTime()
		return err
	})
	return time.Duration(sum * float64(time.Second)), err
}

// memory is what its processes have of RAM in bytes, what they share counted
// once (Pss, proc_pid_smaps(5)).
func (r *running) memory() (uint64, error) {
	var sum uint64
	err := r.each(func(p procfs.Proc) error {
		maps, err := p.ProcSMapsRollup()
		sum += maps.Pss
		return err
	})
	return sum, err
}

func (r *running) each(f func(procfs.Proc) error) error {
	pids, err := r.group.Pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		p, err := procfs.NewProc(pid)
		if err == nil {
			err = f(p)
		}
		if err != nil {
			return fmt.Errorf("look at process %d: %w", pid, err)
		}
	}
	return nil
}
