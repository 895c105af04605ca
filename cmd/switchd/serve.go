package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"switchd/artifact"
	"switchd/consul"
	"switchd/dnsfeed"
	"switchd/dnsflip"
	"switchd/dnsflip/tsig"
	"switchd/driver"
	"switchd/ledger"
	"switchd/replica"
	"switchd/rollout"
	"switchd/status"
	"switchd/web"
)

type serveCmd struct {
	Name        string        `help:"Name of this replica. If the zone has a name server of this name, its address is answered. The host's name if not set." default:"${hostname}" placeholder:"NAME"`
	Data        string        `help:"Directory for artifacts and the last known answers." default:"/var/lib/switchd" type:"path"`
	HTTPListen  string        `help:"Address of the API, the page and the artifact store." default:"127.0.0.1:8700"`
	DNS         dnsFlags      `embed:"" prefix:"dns-"`
	Zone        []string      `help:"Zone to answer with --dns-only, and its file; repeat it for more." sep:"none" placeholder:"NAME=FILE"`
	DNSSECKey   []string      `name:"dnssec-key" help:"Keys to sign zones with: the files of switchd dns keygen or of BIND, or ZONE=FILE for PKCS#8; repeat it for more." sep:"none" placeholder:"FILE"`
	Alerts      alertFlags    `embed:"" prefix:"alerts-"`
	Upstream    upstreamFlags `embed:"" prefix:"upstream-"`
	Notify      notifyFlags   `embed:"" prefix:"notify-"`
	Gates       gateFlags     `embed:"" prefix:"gate-"`
	User        string        `help:"User to become once all ports are bound." placeholder:"NAME"`
	Advertise   string        `help:"IP address that nodes and other replicas reach this one at; what it listens on if not set." placeholder:"IP"`
	TrustedKey  []string      `help:"minisign public keys whose releases are stored." type:"path" placeholder:"FILE"`
	SwarmListen string        `help:"Address to seed releases to nodes on, such as 10.0.0.5:7946; port 0 is any. Without it, nodes fetch them over HTTP only." env:"SWITCHD_SWARM_LISTEN" placeholder:"IP:PORT"`
	Rack        string        `help:"Rack of this replica, whose nodes ask it first." placeholder:"NAME"`
	LeaseTTL    time.Duration `help:"How long the driver's lease lives without a renewal." default:"10s"`
	LockDelay   time.Duration `help:"How long a lost lease stays taken." default:"1s"`
	LogLevel    slog.Level    `help:"debug, info, warn or error." default:"info"`
}

func (c *serveCmd) Help() string {
	return "Run it several times: one replica at a time drives the rollouts, all of them answer DNS and HTTP. Nothing listens beyond loopback unless told to."
}

func (c *serveCmd) Run(a *app) error {
	log := a.log(c.LogLevel)
	if c.DNS.Only {
		return c.serveZones(a.ctx, log)
	}
	if len(c.Zone) > 0 {
		return &usageError{"--zone is for --dns-only; the zone of an environment is in its spec: zone \"NAME\" { file = \"FILE\" }"}
	}
	if len(c.DNS.Transfer)+len(c.DNS.Secondary) > 0 {
		return &usageError{"--dns-transfer and --dns-secondary are for --dns-only; those of an environment are in its spec: zone \"NAME\" { secondary \"ADDRESS:PORT\" {} }"}
	}
	if a.flags.Env == "" {
		return &usageError{"serve needs --env (or SWITCHD_ENV)"}
	}
	l, err := a.ledger()
	if err != nil {
		return err
	}
	if err := c.makeData(); err != nil {
		return err
	}
	s := &server{cmd: c, ledger: l, log: log.With("replica", c.Name), metrics: prometheus.NewRegistry()}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s.run(a.ctx)
}

// server is one replica.
type server struct {
	cmd     *serveCmd
	ledger  *ledger.Ledger
	log     *slog.Logger
	metrics *prometheus.Registry
	driver  *driver.Metrics
	driving atomic.Bool
	tsig    *tsig.Ring
	dns     *dnsflip.Server
	alerts  *alertDesk
	before  *driver.Upstream // the environment before this one
	notices *driver.Notices
	self    replica.Replica
}

func (s *server) run(ctx context.Context) error {
	cfg, err := s.cmd.dnsConfig(s.log, s.metrics)
	if err != nil {
		return err
	}
	s.tsig, s.driver = cfg.TSIG, driver.NewMetrics(s.metrics)
	cfg.Bound = func() error { return s.cmd.drop(ctx, s.log) }
	cfg.File = filepath.Join(s.cmd.Data, "answers-"+s.ledger.Keys.Env+".json")
	s.dns = dnsflip.NewServer(cfg)
	// What was last known is answered from the first query on, with or
	// without Consul.
	switch view, err := s.dns.Restore(); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		s.log.ErrorContext(ctx, "last known answers", "error", err)
	default:
		s.log.InfoContext(ctx, "answering what was last known", "zone", view.Zone.Name, "serial", view.Serial, "age", time.Since(view.At).Round(time.Second))
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", s.cmd.HTTPListen)
	if err != nil {
		return fmt.Errorf("listen for HTTP: %w", err)
	}
	if s.alerts, err = s.cmd.Alerts.desk(ctx, s.ledger, s.metrics, s.log); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := s.dns.Start(ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { _ = s.dns.Close() }()
	if err := s.cmd.Gates.check(); err != nil {
		return errors.Join(err, listener.Close())
	}
	seeder, err := s.seeder()
	if err != nil {
		return err
	}
	keys, err := artifact.LoadTrustedKeys(s.cmd.TrustedKey...)
	if err != nil {
		return err
	}
	handler := s.handler(seeder, keys)
	s.before = s.upstream(seeder, keys)
	if s.self, err = s.replica(listener.Addr().String(), s.dns.Addrs()[0]); err != nil {
		return err
	}
	if s.notices, err = s.cmd.Notify.notices(ctx, s.self.HTTP, s.metrics, s.log); err != nil {
		return err
	}
	seeder.announce(ctx)
	if err := s.alone(ctx); err != nil {
		return err
	}
	s.log.InfoContext(ctx, "serving", "http", s.self.HTTP, "dns", strings.Join(s.dns.Addrs(), ","), "env", s.self.Env)

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var work sync.WaitGroup
	work.Go(func() {
		if err := web.Serve(ctx, listener, handler, s.log); err != nil {
			stop(err)
		}
	})
	age := consul.NewWatchAge(s.metrics, "dns")
	work.Go(func() {
		(&dnsfeed.Feed{Consul: s.ledger.Consul, Keys: s.ledger.Keys, Server: s.dns, Log: s.log, Driving: s.driving.Load, Age: age}).Run(ctx)
	})
	work.Go(func() { s.alerts.halter.Run(ctx, s.ledger.Consul, s.ledger.Keys) })
	if s.alerts.listener != nil {
		work.Go(func() {
			if err := web.Serve(ctx, s.alerts.listener, web.OnlyAlerts(s.alerts.receiver), s.log); err != nil {
				stop(err)
			}
		})
	}
	work.Go(func() { s.keepRegistered(ctx) })
	work.Go(func() {
		if err := seeder.run(ctx); err != nil {
			s.log.WarnContext(ctx, "seed", "error", err)
		}
	})
	work.Go(func() { s.drive(ctx) })
	<-ctx.Done()
	work.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	s.log.InfoContext(ctx, "stopped")
	return nil
}

// replica is how others know this one.
func (s *server) replica(http, dns string) (replica.Replica, error) {
	r := replica.Replica{Name: s.cmd.Name, Env: s.ledger.Keys.Env}
	var err error
	if r.HTTP, err = advertised(http, s.cmd.Advertise); err != nil {
		return r, err
	}
	r.DNS, err = advertised(dns, s.cmd.Advertise)
	return r, err
}

// alone refuses a name under which another replica answers: the two would
// take turns in Consul's catalog. While Consul is away, nobody can tell, and to
// answer is more important.
func (s *server) alone(ctx context.Context) error {
	replicas, err := replica.List(ctx, s.ledger.Consul, s.self.Env)
	if err != nil {
		s.log.WarnContext(ctx, "it is not known whether another replica has this name", "error", err)
		return nil
	}
	for _, r := range replicas {
		if r.Name == s.self.Name && r.HTTP != s.self.HTTP && r.Passing {
			return &usageError{fmt.Sprintf("a replica named %s serves already, at %s; give this one another --name", r.Name, r.HTTP)}
		}
	}
	return nil
}

// advertised is the address under which others reach what listens on listen.
// "All addresses" is none: whoever was told it would reach itself.
func advertised(listen, advertise string) (string, error) {
	at, err := netip.ParseAddrPort(listen)
	if err != nil {
		return "", fmt.Errorf("address of the replica: %w", err)
	}
	if advertise != "" {
		return net.JoinHostPort(advertise, strconv.Itoa(int(at.Port()))), nil
	}
	if at.Addr().IsUnspecified() {
		return "", &usageError{fmt.Sprintf("it listens on all addresses (%s); say with --advertise which one nodes and other replicas reach it at", listen)}
	}
	return listen, nil
}

func (s *server) handler(seeder *seeder, keys artifact.TrustedKeys) http.Handler {
	return web.New(web.Config{
		Ledger: status.Ledger{Ledger: s.ledger}, Replica: s.cmd.Name, Driving: s.driving.Load,
		DNS: func() (uint32, time.Duration, bool) {
			view := s.dns.View()
			if view == nil {
				return 0, 0, false
			}
			return view.Serial, time.Since(view.At), true
		},
		Artifacts: seeder.handler(keys), Alerts: s.alerts.receiver, Gatherer: s.metrics, Log: s.log,
	})
}

// keepRegistered has the replica in Consul's catalog, also after the local
// agent has lost it.
func (s *server) keepRegistered(ctx context.Context) {
	const every = 15 * time.Second
	for ctx.Err() == nil {
		callCtx, cancel := context.WithTimeout(ctx, consul.CallTimeout)
		err := replica.Register(callCtx, s.ledger.Consul, s.self)
		cancel()
		wait := every
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "register", "error", err)
			wait = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	callCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), consul.CallTimeout)
	defer cancel()
	if err := replica.Deregister(callCtx, s.ledger.Consul, s.self); err != nil {
		s.log.WarnContext(ctx, "deregister", "error", err)
	}
}

// drive waits for the lease and drives rollouts while it holds.
func (s *server) drive(ctx context.Context) {
	for ctx.Err() == nil {
		lease, err := s.ledger.Consul.Acquire(ctx, consul.LeaseOptions{
			Key: s.ledger.Keys.Lease(), Holder: s.cmd.Name, TTL: s.cmd.LeaseTTL, LockDelay: s.cmd.LockDelay, Log: s.log,
		})
		if err != nil {
			return // ctx has ended
		}
		s.log.InfoContext(ctx, "driving")
		s.driving.Store(true)
		s.driveUnder(ctx, lease)
		s.driving.Store(false)
		s.log.InfoContext(ctx, "not driving any more", "error", lease.Err())
		releaseCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), consul.CallTimeout)
		if err := lease.Release(releaseCtx); err != nil {
			s.log.WarnContext(ctx, "release the lease", "error", err)
		}
		cancel()
	}
}

func (s *server) driveUnder(ctx context.Context, lease *consul.Lease) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.driver.Drives(lease)()
	world := &driver.World{
		Ledger: s.ledger, Fence: lease, Log: s.log, TSIG: s.tsig, Metrics: s.driver, Upstream: s.before,
		GateCommands: s.cmd.Gates.Commands, Notices: s.notices,
	}
	engine := &rollout.Engine{World: world, Log: s.log}
	active := make(chan []string)
	var work sync.WaitGroup
	work.Go(func() { world.Active(ctx, active) })
	work.Go(func() { engine.Supervise(ctx, active) })
	work.Go(func() { world.KeepOrders(ctx) })
	work.Go(func() { world.KeepUpdates(ctx) })
	work.Go(func() { world.KeepMesh(ctx) })
	work.Go(func() { world.KeepUpstream(ctx) })
	work.Go(func() { world.KeepTrains(ctx) })
	work.Go(func() { world.KeepNotices(ctx) })
	select {
	case <-ctx.Done():
	case <-lease.Lost():
	}
	cancel()
	work.Wait()
}
