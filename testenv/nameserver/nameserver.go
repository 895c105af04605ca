//go:build linux

// Package nameserver runs the name servers of others for tests and benches:
// BIND, NSD and Knot as primaries and secondaries, and Unbound as a resolver.
// They are Debian's programs, each with its own folder and a free port of an
// address of the loopback network, in the foreground, without privileges.
package nameserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"switchd/testenv/proc"
)

// Kind is an implementation of an authoritative name server.
type Kind string

// The authoritative name servers.
const (
	BIND Kind = "BIND"
	NSD  Kind = "NSD"
	Knot Kind = "Knot"
)

// Kinds are all authoritative name servers.
func Kinds() []Kind { return []Kind{BIND, NSD, Knot} }

// Options say how an authoritative name server runs.
type Options struct {
	// Addr is where it listens, by UDP and TCP, and where it sends from. The
	// zero value means a free port of an address of the loopback network.
	// BIND takes 127.0.0.1 alone there: it knows addresses of interfaces.
	Addr netip.AddrPort
	// Dir is its folder. Empty means one of its own that Close removes. Its
	// path must be short: Knot has a socket in it (sun_path has 108 bytes).
	Dir string
	// Wrap goes before its command line, such as "taskset", "-c", "0".
	Wrap []string
	// Keys are the TSIG keys that it knows.
	Keys []Key
	// Zones are what it serves.
	Zones []Zone
	// Workers is the number of processes or threads that answer by UDP; 0
	// means 1.
	Workers int
	// Minimal leaves out of answers what need not be in them. Knot always
	// does.
	Minimal bool
	// Extra are further lines of its configuration: of BIND's options
	// block, of NSD's and Knot's server section.
	Extra []string
}

// Zone is a zone of a name server: a primary has Text, a secondary Primaries.
type Zone struct {
	Origin string
	// Text is the zone's master file.
	Text string
	// Primaries are where a secondary gets the zone from.
	Primaries []Peer
	// Key names the TSIG key that must sign whoever transfers or updates the
	// zone. Empty lets everybody on the loopback network do that.
	Key string
	// Update accepts dynamic updates, RFC 2136. NSD can't.
	Update bool
	// Notify are the secondaries that are told of changes.
	Notify []Peer
}

// Peer is another name server.
type Peer struct {
	Addr netip.AddrPort
	Key  string // names the TSIG key of what is said to it and by it; may be empty
}

// Server is a name server that runs as a process of its own. It is not safe
// for concurrent use, but for Addr.
type Server struct {
	name    string
	addr    netip.AddrPort
	dir     string
	ownDir  bool
	argv    []string
	group   *proc.Group
	process *proc.Process
	ready   func(ctx context.Context, addr netip.AddrPort) error
}

// stopGrace bounds how long a server may take to end after SIGTERM.
const stopGrace = 5 * time.Second

// Start starts a name server in the group and returns when it answers: from
// all its zones as a primary, anything as a secondary. The context bounds the
// wait; the server lives until Stop or until the group is closed.
func Start(ctx context.Context, group *proc.Group, kind Kind, o Options) (*Server, error) {
	var (
		installed program
		config    func(Options) (map[string]string, []string)
	)
	switch kind {
	case BIND:
		installed, config = program{"named", "bind9"}, bindConfig
	case NSD:
		installed, config = program{"nsd", "nsd"}, nsdConfig
	case Knot:
		installed, config = program{"knotd", "knot"}, knotConfig
	default:
		return nil, fmt.Errorf("start name server: unknown kind %q; known are %v", kind, Kinds())
	}
	if i := slices.IndexFunc(o.Zones, func(z Zone) bool { return z.Update }); i >= 0 && kind == NSD {
		return nil, fmt.Errorf("start %s: zone %s: it knows no dynamic updates", kind, o.Zones[i].Origin)
	}
	if !o.Addr.IsValid() {
		host := someLoopback()
		if kind == BIND {
			host = netip.AddrFrom4([4]byte{127, 0, 0, 1}) // it takes addresses of interfaces alone
		}
		var err error
		if o.Addr, err = freePort(ctx, host); err != nil {
			return nil, fmt.Errorf("start %s: %w", kind, err)
		}
	}
	return start(ctx, group, string(kind), installed, o.Addr, o.Dir, o.Wrap,
		func(dir string) (map[string]string, []string) {
			o.Dir, o.Workers = dir, max(1, o.Workers)
			files, argv := config(o)
			for i, z := range o.Zones {
				if len(z.Primaries) == 0 {
					files[zoneFile(i)] = z.Text
				}
			}
			return files, argv
		},
		func(ctx context.Context, addr netip.AddrPort) error { return answersZones(ctx, addr, o.Zones) })
}

// start does what all name servers need. Configure returns the files of the
// folder, by name, and the program's arguments.
func start(ctx context.Context, group *proc.Group, name string, p program, addr netip.AddrPort, dir string, wrap []string,
	configure func(dir string) (map[string]string, []string), ready func(context.Context, netip.AddrPort) error,
) (*Server, error) {
	path, err := p.find()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s := &Server{name: name, addr: addr, dir: dir, group: group, ready: ready}
	if s.dir == "" {
		s.ownDir = true
		if s.dir, err = os.MkdirTemp("", "nameserver-"); err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
	}
	files, args := configure(s.dir)
	s.argv = slices.Concat(wrap, []string{path}, args)
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(s.dir, file), []byte(text), 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), s.Close())
		}
	}
	if err := s.Start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Start starts the server again after Stop, with the data that it has kept,
// and returns when it answers.
func (s *Server) Start(ctx context.Context) error {
	process, err := s.group.Start(ctx, s.name, filepath.Join(s.dir, "log"), s.argv, nil)
	if err != nil {
		return err
	}
	s.process = process
	if err := await(ctx, process, func(ctx context.Context) error { return s.ready(ctx, s.addr) }); err != nil {
		tail, _ := process.LogTail()
		return fmt.Errorf("start %s: %w\n%s", s.name, err, tail)
	}
	return nil
}

// Addr is where the server listens, by UDP and TCP.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Name is the name of the program's project.
func (s *Server) Name() string { return s.name }

// Process is the server's process. Its descendants are other processes.
func (s *Server) Process() *proc.Process { return s.process }

// Stop ends the server; what it knows stays in its folder for Start. To stop
// it again does nothing.
func (s *Server) Stop() error {
	if s.process == nil {
		return nil
	}
	process := s.process
	s.process = nil
	if err := process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	select {
	case <-process.Done():
		return nil
	case <-time.After(stopGrace):
		return process.Kill()
	}
}

// Close stops the server and removes the folder that it made.
func (s *Server) Close() error {
	err := s.Stop()
	if s.ownDir {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// program is one that must be installed.
type program struct{ name, pkg string }

// find returns the program's path. Debian keeps servers in /usr/sbin, which
// is not on everybody's PATH.
func (p program) find() (string, error) {
	path, err := exec.LookPath(p.name)
	if err == nil {
		return path, nil
	}
	if path, sbinErr := exec.LookPath("/usr/sbin/" + p.name); sbinErr == nil {
		return path, nil
	}
	return "", fmt.Errorf("%w; install it with: apt-get install %s", err, p.pkg)
}

// freePort returns a port of the address that is free for UDP and TCP. It is
// below those that the system gives to clients (ip_local_port_range), so that
// none of them takes it before the server does.
func freePort(ctx context.Context, addr netip.Addr) (netip.AddrPort, error) {
	var err error
	for range 100 {
		found := netip.AddrPortFrom(addr, uint16(10_000+rand.IntN(20_000)))
		if err = bindable(ctx, found.String()); err == nil {
			return found, nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("find a free port: %w", err)
}

func bindable(ctx context.Context, addr string) error {
	var listen net.ListenConfig
	packets, err := listen.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return err
	}
	listener, err := listen.Listen(ctx, "tcp", addr)
	if err != nil {
		return errors.Join(err, packets.Close())
	}
	return errors.Join(packets.Close(), listener.Close())
}

// someLoopback returns a random address of the loopback network, so that the
// servers of tests that run at once don't meet.
func someLoopback() netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(254)), byte(rand.IntN(256)), byte(1 + rand.IntN(250))})
}
