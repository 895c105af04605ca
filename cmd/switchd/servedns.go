package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/prometheus/client_golang/prometheus"

	"switchd/dnsflip"
	"switchd/dnsflip/cookie"
	"switchd/dnsflip/rrl"
	"switchd/dnsflip/tsig"
	"switchd/dnssec"
	"switchd/zone"
)

// dnsFlags say how this replica answers DNS.
type dnsFlags struct {
	Listen       []string `help:"Addresses of the DNS server, UDP and TCP. Sockets that systemd passes are used instead." default:"127.0.0.1:8753"`
	Only         bool     `help:"Answer the zones of --zone and nothing else: no Consul, no HTTP. SIGHUP reads their files again."`
	Transfer     []string `help:"With --dns-only, who may copy the zones: an address, a prefix such as 192.0.2.0/24, or key:NAME of a TSIG key." placeholder:"WHO"`
	Secondary    []string `help:"With --dns-only, name servers that are told of changes and may copy the zones: ADDRESS:PORT, or ADDRESS:PORT=KEY." placeholder:"WHO"`
	TSIGKey      []string `name:"tsig-key" help:"Files of TSIG keys as tsig-keygen writes them, for transfers, notifications and updates." type:"path" placeholder:"FILE"`
	CookieSecret string   `help:"File of DNS cookie secrets, the same on all replicas: 32 hex digits a line, the first one is used, the others are accepted. One of this process if not set." type:"path" placeholder:"FILE"`
	RateLimit    int      `help:"Replies a second to one network for one name by UDP; loopback and clients with a valid cookie have no limit. 0: none has." default:"1000"`
	QueryLog     float64  `help:"Share of queries to log, 0 to 1." default:"0" placeholder:"SHARE"`
}

// config makes the DNS server's configuration.
func (c *serveCmd) dnsConfig(log *slog.Logger, metrics prometheus.Registerer) (dnsflip.Config, error) {
	cfg := dnsflip.Config{ID: c.Name, Log: log, Registerer: metrics, QueryLog: c.DNS.QueryLog}
	if c.DNS.QueryLog < 0 || c.DNS.QueryLog > 1 {
		return cfg, &usageError{fmt.Sprintf("--dns-query-log is a share from 0 to 1, got %v", c.DNS.QueryLog)}
	}
	var err error
	if cfg.TSIG, err = tsig.Load(c.DNS.TSIGKey...); err != nil {
		return cfg, err
	}
	if c.DNS.CookieSecret != "" {
		if cfg.Cookies, err = cookie.Load(c.DNS.CookieSecret); err != nil {
			return cfg, err
		}
	}
	if c.DNS.RateLimit != 0 {
		limits := rrl.Default()
		limits.Rate = c.DNS.RateLimit
		if cfg.Limiter, err = rrl.New(limits); err != nil {
			return cfg, &usageError{"--dns-rate-limit: " + err.Error()}
		}
	}
	for _, path := range c.DNSSECKey {
		key, err := loadDNSSECKey(path)
		if err != nil {
			return cfg, err
		}
		cfg.Keys = append(cfg.Keys, key)
	}
	// The DNS loops may keep each core busy without ever waiting, and the
	// runtime looks at other connections only when one of its processors is
	// idle: without one more, a change in Consul would be seen 10 ms late.
	cfg.Loops = runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(cfg.Loops + 1)
	if cfg.Packets, cfg.Listeners, err = inherited(); err != nil {
		return cfg, err
	}
	if len(cfg.Packets)+len(cfg.Listeners) == 0 {
		cfg.Listen = c.DNS.Listen
	}
	return cfg, nil
}

// loadDNSSECKey loads a key from FILE, or from ZONE=FILE where the file
// doesn't name its zone.
func loadDNSSECKey(text string) (dnssec.Key, error) {
	path, origin := text, zone.Name("")
	if name, rest, ok := strings.Cut(text, "="); ok {
		var err error
		if origin, err = zone.ParseName(name); err != nil {
			return dnssec.Key{}, &usageError{"--dnssec-key: " + err.Error()}
		}
		path = rest
	}
	return dnssec.Load(path, origin)
}

// inherited returns the sockets that a service manager has bound for us:
// sd_listen_fds(3).
func inherited() (packets []net.PacketConn, listeners []net.Listener, err error) {
	for _, file := range activation.Files(true) {
		kind, err := syscall.GetsockoptInt(int(file.Fd()), syscall.SOL_SOCKET, syscall.SO_TYPE)
		if err != nil {
			return nil, nil, fmt.Errorf("take over socket %s: %w", file.Name(), err)
		}
		if kind == syscall.SOCK_DGRAM {
			conn, err := net.FilePacketConn(file)
			if err != nil {
				return nil, nil, fmt.Errorf("take over socket %s: %w", file.Name(), err)
			}
			packets = append(packets, conn)
		} else {
			l, err := net.FileListener(file)
			if err != nil {
				return nil, nil, fmt.Errorf("take over socket %s: %w", file.Name(), err)
			}
			listeners = append(listeners, l)
		}
		if err := file.Close(); err != nil {
			return nil, nil, fmt.Errorf("take over socket %s: %w", file.Name(), err)
		}
	}
	return packets, listeners, nil
}

// serveZones answers plain zones until ctx ends.
func (c *serveCmd) serveZones(ctx context.Context, log *slog.Logger) error {
	if len(c.Zone) == 0 {
		return &usageError{"--dns-only needs a zone to answer: --zone NAME=FILE"}
	}
	again := make(chan os.Signal, 1) // from the start, for SIGHUP ends who doesn't expect it
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	zones, err := c.loadZones(ctx, log)
	if err != nil {
		return err
	}
	cfg, err := c.dnsConfig(log, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	if err := c.peers(&cfg); err != nil {
		return err
	}
	for _, key := range cfg.Keys {
		if !slices.ContainsFunc(zones, func(z *zone.Zone) bool { return z.Origin() == key.Zone }) {
			return &usageError{fmt.Sprintf("--dnssec-key: %s is a key of zone %s, which no --zone has", key, key.Zone)}
		}
	}
	cfg.Bound = func() error { return c.drop(ctx, log) }
	server := dnsflip.NewServer(cfg)
	if err := server.Serve(zones...); err != nil {
		return err
	}
	if err := server.Start(ctx); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return server.Close()
		case <-again:
			next, err := c.loadZones(ctx, log)
			if err == nil {
				err = server.Serve(next...)
			}
			if err != nil {
				log.ErrorContext(ctx, "zones stay as they were", "error", err)
				continue
			}
			for i, z := range next {
				if int32(z.Serial()-zones[i].Serial()) <= 0 && !same(z, zones[i]) { // RFC 1982 section 3.2
					log.WarnContext(ctx, "zone changed without a greater serial: secondaries keep the old one", "zone", z.Origin().String(), "before", zones[i].Serial(), "serial", z.Serial())
				}
			}
			zones = next
		}
	}
}

// same tells whether two versions of a zone have the same records.
func same(a, b *zone.Zone) bool {
	next, stop := iter.Pull(b.Records())
	defer stop()
	for rr := range a.Records() {
		if other, ok := next(); !ok || rr.String() != other.String() {
			return false
		}
	}
	_, more := next()
	return !more
}

// peers says who may copy plain zones.
func (c *serveCmd) peers(cfg *dnsflip.Config) error {
	for _, text := range c.DNS.Transfer {
		t, err := dnsflip.ParseTransfer(text)
		if err != nil {
			return &usageError{"--dns-transfer: " + err.Error()}
		}
		if t.Key != "" && cfg.TSIG.Key(t.Key) == nil {
			return &usageError{fmt.Sprintf("--dns-transfer: there is no TSIG key %q; give its file with --dns-tsig-key", strings.TrimPrefix(text, "key:"))}
		}
		cfg.Transfers = append(cfg.Transfers, t)
	}
	for _, text := range c.DNS.Secondary {
		addr, key, _ := strings.Cut(text, "=")
		at, err := netip.ParseAddrPort(addr)
		if err != nil {
			return &usageError{fmt.Sprintf("--dns-secondary is ADDRESS:PORT or ADDRESS:PORT=KEY, got %q", text)}
		}
		if key != "" && cfg.TSIG.Key(key) == nil {
			return &usageError{fmt.Sprintf("--dns-secondary: there is no TSIG key %q; give its file with --dns-tsig-key", key)}
		}
		cfg.Secondaries = append(cfg.Secondaries, dnsflip.Secondary{Addr: at, Key: key})
	}
	return nil
}

// loadZones reads the zones of the command line.
func (c *serveCmd) loadZones(ctx context.Context, log *slog.Logger) ([]*zone.Zone, error) {
	var zones []*zone.Zone
	seen := make(map[zone.Name]bool)
	for _, text := range c.Zone {
		name, path, ok := strings.Cut(text, "=")
		if !ok {
			return nil, &usageError{fmt.Sprintf("--zone is NAME=FILE, such as apps.example.net=apps.zone, got %q", text)}
		}
		origin, err := zone.ParseName(name)
		if err != nil {
			return nil, &usageError{"--zone: " + err.Error()}
		}
		if seen[origin] {
			return nil, &usageError{fmt.Sprintf("--zone: %s is given twice", origin)}
		}
		seen[origin] = true
		z, err := zone.ParseFile(path, origin)
		if err != nil {
			return nil, err
		}
		for _, warning := range z.Warnings() {
			log.WarnContext(ctx, "zone file", "zone", origin.String(), "warning", warning)
		}
		log.InfoContext(ctx, "zone loaded", "zone", origin.String(), "serial", z.Serial(), "file", path)
		zones = append(zones, z)
	}
	return zones, nil
}
