package sweep

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing/fstest"
	"time"

	"github.com/miekg/dns"

	"switchd/artifact"
	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/intercept"
	"switchd/testenv/linear"
	"switchd/testenv/load"
)

// world is one rollout with all that takes part in it: a replica, three agents,
// the service on each node, and its users.
type world struct {
	ground  *Ground
	dir     string
	service string // and the environment's name
	keys    consul.Keys
	ledger  *ledger.Ledger
	port    int // of the service; the replica has the next two
	cuts    []Point
	extra   string // HCL for the service
	history *linear.History
	users   *load.Generator
	programs

	mu     sync.Mutex
	times  map[string]int // how often an effect has come
	trace  []Point        // in the order in which they came
	hit    []Point        // the cuts that were made
	broken []string       // promises
}

// newWorld is one more of a ground. It is to be closed.
func (g *Ground) newWorld(cuts []Point, extra string) *world {
	n := int(g.rollouts.Add(1))
	name := fmt.Sprintf("web%d", n)
	keys := consul.Keys{Env: name}
	return &world{
		ground: g, dir: filepath.Join(g.dir, name), service: name, keys: keys, history: linear.NewHistory(keys), port: g.ports + 3*n,
		cuts: cuts, extra: extra, times: make(map[string]int),
	}
}

// breaks notes a broken promise.
func (w *world) breaks(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

func (w *world) at(port int) string { return net.JoinHostPort(w.ground.address, strconv.Itoa(port)) }

func (w *world) http() string { return w.at(w.port + 1) }
func (w *world) dns() string  { return w.at(w.port + 2) }

// inputs is the service at its quickest.
const inputs = `owner = "web-team"

environment "%[1]s" {
  zone "apps.test" {
    name_servers = ["ns1.apps.test"]
    admin        = "hostmaster@apps.test"
    ttl          = "1s"
    negative_ttl = "1s"
  }
}

service "%[1]s" {
  port = %[2]d
  pool "blue"  { nodes = ["b1", "b2"] }
  pool "green" { nodes = ["g1", "g2"] }
  runtime "exec" {
    start  = ["./ctl", "start"]
    stop   = ["./ctl", "stop"]
    status = ["./ctl", "status"]
    env    = { WORLD = "%[3]s", NODE = "${node}" }
  }
  health {
    path     = "/healthz"
    interval = "1s"
    timeout  = "1s"
  }
  roll {
    quorum           = 1
    max_unavailable  = 1
    min_healthy_time = "50ms"
    healthy_deadline = "20s"
  }
  smoke "answers" { path = "/" }
  switch "dns" {
    name = "web"
    ttl  = "1s"
  }
  weights = [50]
  wait "schema" {
    at  = ["roll"]
    key = "migrations/${service}/${version}"
  }
  approval "owner" {
    at            = ["switch"]
    min_approvers = 1
  }
  drain { least = "1ms" }
  bake = "200ms"
  %[4]s
}
`

// open brings the world to where a rollout can begin: 1.0.0 is live on blue,
// green runs 0.9.0, and users ask.
func (w *world) open(ctx context.Context) error {
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	to, err := w.proxy(ctx, "test", w.ground.server)
	if err != nil {
		return err
	}
	client, err := consul.NewClient(consul.Flags{HTTPAddr: to})
	if err != nil {
		return err
	}
	w.ledger = &ledger.Ledger{Consul: client, Keys: w.keys}
	if err := w.apply(ctx); err != nil {
		return err
	}
	for version, r := range w.ground.releases {
		if err := w.publish(ctx, version, r); err != nil {
			return err
		}
	}
	for node, addr := range w.ground.nodes {
		if err := w.serveNode(ctx, node, addr); err != nil {
			return err
		}
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	if err := w.settleAt(ctx, spec.Green, oldVersion, 2); err != nil {
		return err
	}
	if err := w.settleAt(ctx, spec.Blue, liveVersion, 1); err != nil {
		return err
	}
	return w.watch(ctx)
}

func (w *world) apply(ctx context.Context) error {
	text := fmt.Sprintf(inputs, w.service, w.port, w.dir, w.extra)
	source, diags := spec.LoadFS(fstest.MapFS{"web.hcl": {Data: []byte(text)}})
	if diags.HasErrors() {
		return fmt.Errorf("load the inputs: %w", diags)
	}
	desired, diags := source.Compile(w.keys.Env)
	if diags.HasErrors() {
		return fmt.Errorf("compile the inputs: %w", diags)
	}
	return w.ledger.Apply(ctx, "sweep", desired)
}

// publish publishes a release, and brings it to where the replica will look.
func (w *world) publish(ctx context.Context, version string, r release) error {
	file, err := os.Open(r.archive)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	defer func() { _ = file.Close() }()
	m := artifact.NewManifest(w.service, version, "sweep", time.Now(), r.info)
	if err := m.AddMetainfo(ctx, file); err != nil {
		return err
	}
	if err := artifact.Sign(&m, w.ground.private); err != nil {
		return err
	}
	store, err := artifact.NewStore(filepath.Join(w.dir, "serve", "artifacts", w.keys.Env))
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, 0); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return errors.Join(store.Put(ctx, m, file), w.ledger.Publish(ctx, m))
}

// settleAt makes a version the live one of a pool, and waits until its nodes
// run it.
func (w *world) settleAt(ctx context.Context, pool, version string, nodes int) error {
	_, err := w.ledger.Do(ctx, w.service, "sweep", func(s rollout.Situation) (*rollout.Change, error) {
		live := s.Live.Next("sweep", time.Now())
		live.Service, live.Pool, live.Version, live.Previous = w.service, pool, version, s.Live.Side()
		return &rollout.Change{Live: live, What: "begin"}, nil
	})
	if err != nil {
		return err
	}
	return await(ctx, time.Minute, func() error {
		now, err := pools.Read(ctx, w.ledger.Consul, w.service)
		if err == nil && now[pool].Passing(version) != nodes {
			err = fmt.Errorf("%s on %s: %+v", version, pool, now[pool])
		}
		return err
	})
}

// serveNode answers for the service on a node: it is there while its file is.
func (w *world) serveNode(ctx context.Context, node, consulAddr string) error {
	host, _, err := net.SplitHostPort(consulAddr)
	if err != nil {
		return fmt.Errorf("answer for %s: %w", node, err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(w.port)))
	if err != nil {
		return fmt.Errorf("answer for %s: %w", node, err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		version, err := os.ReadFile(filepath.Join(w.dir, "runs-"+node))
		if err != nil {
			http.Error(out, "nothing runs here", http.StatusServiceUnavailable)
			return
		}
		out.Header().Set(load.VersionHeader, strings.TrimSpace(string(version)))
	})}
	w.background(func() { _ = server.Serve(listener) }, server.Close)
	return nil
}

// watch has users ask all the time. The replica may be dead and not answer, but
// where it leads them, somebody must serve.
func (w *world) watch(ctx context.Context) error {
	if err := await(ctx, time.Minute, func() error { return w.answers(ctx) }); err != nil {
		return err
	}
	var err error
	w.users, err = load.New(load.Config{Name: "web.apps.test", Port: w.port, Servers: []string{w.dns()}, Workers: 3, Rate: 10})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	left := make(chan struct{})
	w.background(func() {
		defer close(left)
		w.users.Run(ctx)
	}, func() error {
		cancel()
		<-left // before anything else is closed
		return nil
	})
	return nil
}

// answers tells whether the service's name leads to a node.
func (w *world) answers(ctx context.Context) error {
	query := new(dns.Msg).SetQuestion("web.apps.test.", dns.TypeA)
	answer, _, err := new(dns.Client).ExchangeContext(ctx, query, w.dns())
	if err != nil {
		return fmt.Errorf("ask for the service: %w", err)
	}
	for _, record := range answer.Answer {
		if _, ok := record.(*dns.A); ok {
			return nil
		}
	}
	return fmt.Errorf("the service's name leads to nothing: %v", answer)
}

// before is asked about each call of a program.
func (w *world) before(who string, labels *sync.Map) func(*intercept.Call) bool {
	return func(c *intercept.Call) bool {
		if !c.Writes() || who == "test" {
			return true
		}
		effect := w.passed(who, w.effectOf(c))
		labels.Store(c, effect)
		return !w.strike(Point{Who: who, Effect: effect})
	}
}

// after is told what became of it.
func (w *world) after(who string, labels *sync.Map) func(*intercept.Call) bool {
	return func(c *intercept.Call) bool {
		w.history.Record(who, c)
		effect, ok := labels.LoadAndDelete(c)
		if !ok {
			return true
		}
		w.judge(c)
		return !w.strike(Point{Who: who, Effect: effect.(string), After: true})
	}
}

// strike kills the program whose fault point this is, if it is one that is to
// be cut.
func (w *world) strike(p Point) bool {
	w.mu.Lock()
	now := slices.Contains(w.cuts, p) && !slices.Contains(w.hit, p)
	if now {
		w.hit = append(w.hit, p)
	}
	w.mu.Unlock()
	if now {
		if err := w.kill(p.Who); err != nil {
			w.breaks("kill %s: %v", p.Who, err)
		}
	}
	return now
}
