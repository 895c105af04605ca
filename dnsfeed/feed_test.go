package dnsfeed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sys/unix"

	"switchd/consul"
	"switchd/dnsfeed"
	"switchd/dnsflip"
	"switchd/dnsproof"
	"switchd/ledger"
	"switchd/pools"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// world is a Consul, a ledger in it, and a DNS server that is fed from it.
type world struct {
	*ledger.Ledger

	consul *devconsul.Lone
	client *consul.Client
	dns    *dnsflip.Server
}

// newWorld has the services web and api, both live with 1.0.0 on blue.
func newWorld(tb testing.TB, zone bool) world {
	tb.Helper()
	server := devconsul.Start(tb, nil)
	client := server.Client()
	w := world{&ledger.Ledger{Consul: client, Keys: consul.Keys{Env: "prod"}}, server, client, newServer(tb)}
	desired := &spec.Desired{Environment: spec.Environment{Name: "prod"}, Services: []spec.Service{service("api"), service("web")}}
	if zone {
		desired.Environment.Zone = &spec.Zone{
			Name: "apps.test", NameServers: []string{"ns1.apps.test", "ns.example.net"}, Admin: "dns@example.net",
			TTL: spec.Duration(time.Minute), NegativeTTL: spec.Duration(5 * time.Second),
		}
	}
	if err := w.Apply(tb.Context(), "test", desired); err != nil {
		tb.Fatal(err)
	}
	for _, name := range []string{"api", "web"} {
		w.node(tb, name, "b1", spec.Blue, "192.0.2.1", api.HealthPassing)
		w.node(tb, name, "g1", spec.Green, "192.0.2.11", api.HealthPassing)
		w.flip(tb, name, spec.Blue)
	}
	if err := replica.Register(tb.Context(), client, replica.Replica{Name: "ns1", Env: "prod", HTTP: "127.0.0.1:1", DNS: "127.0.0.1:53"}); err != nil {
		tb.Fatal(err)
	}
	w.serve(tb, w.dns)
	return w
}

// serve has a DNS server fed until the test ends.
func (w world) serve(tb testing.TB, server dnsfeed.Publisher) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&dnsfeed.Feed{Consul: w.client, Keys: w.Keys, Server: server, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
	}()
	tb.Cleanup(func() {
		cancel()
		<-done
	})
}

func newServer(tb testing.TB) *dnsflip.Server {
	tb.Helper()
	server := dnsflip.NewServer(dnsflip.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)})
	if err := server.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Error(err)
		}
	})
	return server
}

func service(name string) spec.Service {
	return spec.Service{Name: name, Port: 80, Switch: spec.Switch{Kind: spec.SwitchDNS, Name: name, TTL: spec.Duration(time.Second)}}
}

func (w world) node(tb testing.TB, service, node, pool, address, status string) {
	tb.Helper()
	_, err := w.client.API().Catalog().Register(&api.CatalogRegistration{
		Node: node, Address: address,
		Service: &api.AgentService{ID: pools.ID(service, pool), Service: service, Port: 80, Meta: map[string]string{pools.MetaPool: pool, pools.MetaVersion: "1.0.0"}},
		Checks:  api.HealthChecks{{Node: node, CheckID: service, Name: "GET /", ServiceID: pools.ID(service, pool), Status: status}},
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
}

// flip leads a service's users to a pool.
func (w world) flip(tb testing.TB, service, pool string) {
	tb.Helper()
	if _, err := w.Do(tb.Context(), service, "test", func(s rollout.Situation) (*rollout.Change, error) {
		live := s.Live.Next("test", time.Now())
		live.Service, live.Pool, live.Version = service, pool, "1.0.0"
		return &rollout.Change{Live: live, What: "flip"}, nil
	}); err != nil {
		tb.Fatal(err)
	}
}

// ask asks the DNS server where it leads a service's users.
func (w world) ask(tb testing.TB, service string) (pool string, serial uint32) {
	tb.Helper()
	reply, err := dnsproof.Ask(tb.Context(), w.dns.Addrs()[0], service+".apps.test")
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(reply.Target, service+"-"), ".apps.test"), reply.Serial
}

// await waits until the view that is served is as wanted.
func (w world) await(tb testing.TB, what string, wanted func(*dnsflip.View) bool) *dnsflip.View {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	for {
		view := w.dns.View()
		if view != nil && wanted(view) {
			return view
		}
		select {
		case <-ctx.Done():
			tb.Fatalf("waited in vain for %s, the view is %+v", what, view)
		case <-time.After(time.Millisecond):
		}
	}
}

func leads(service, pool string) func(*dnsflip.View) bool {
	return func(v *dnsflip.View) bool { return v.Flips[service].Live == pool }
}

func has(service, pool string, addrs ...string) func(*dnsflip.View) bool {
	return func(v *dnsflip.View) bool {
		return slices.EqualFunc(v.Flips[service].Pools[pool], addrs, func(a netip.Addr, b string) bool { return a.String() == b })
	}
}

func TestFeed_FollowsEachSwitchAndTheHealthOfEachPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.await(t, "the first answers", leads("web", spec.Blue))
	view := w.await(t, "the name server", func(v *dnsflip.View) bool { return len(v.NameServerAddrs) > 0 })
	if want := map[string][]netip.Addr{"ns1.apps.test": {netip.MustParseAddr("127.0.0.1")}}; !maps.EqualFunc(view.NameServerAddrs, want, slices.Equal) {
		t.Errorf("name servers: %v", view.NameServerAddrs)
	}
	_, last := w.ask(t, "web")
	for _, pool := range []string{spec.Green, spec.Blue, spec.Green} {
		w.flip(t, "web", pool)
		w.await(t, "the flip to "+pool, leads("web", pool))
		got, serial := w.ask(t, "web")
		if got != pool || int32(serial-last) <= 0 {
			t.Errorf("web leads to %s with serial %d, want %s with one after %d", got, serial, pool, last)
		}
		last = serial
	}
	if got, _ := w.ask(t, "api"); got != spec.Blue {
		t.Errorf("api went along to %s", got)
	}
	// A node that flaps, and one that comes.
	for range 3 {
		w.node(t, "web", "g1", spec.Green, "192.0.2.11", api.HealthCritical)
		w.node(t, "web", "g2", spec.Green, "192.0.2.12", api.HealthPassing)
		w.await(t, "g1 to be left out", has("web", spec.Green, "192.0.2.12"))
		w.node(t, "web", "g1", spec.Green, "192.0.2.11", api.HealthPassing)
		w.await(t, "g1 to be back", has("web", spec.Green, "192.0.2.11", "192.0.2.12"))
	}
	// When all fail, those that passed last stay.
	w.node(t, "web", "g1", spec.Green, "192.0.2.11", api.HealthCritical)
	w.await(t, "g1 to be left out", has("web", spec.Green, "192.0.2.12"))
	w.node(t, "web", "g2", spec.Green, "192.0.2.12", api.HealthCritical)
	view = w.await(t, "an empty pool", func(v *dnsflip.View) bool { return len(v.Flips["web"].Carried) > 0 })
	if !has("web", spec.Green, "192.0.2.12")(view) || view.Flips["web"].Carried[0] != spec.Green {
		t.Errorf("with all nodes failing: %+v", view.Flips["web"])
	}
	w.node(t, "web", "g1", spec.Green, "192.0.2.11", api.HealthPassing)
	view = w.await(t, "one to pass again", has("web", spec.Green, "192.0.2.11"))
	if len(view.Flips["web"].Carried) != 0 {
		t.Errorf("carried although one passes: %+v", view.Flips["web"])
	}
	// A service that is added, and one that is taken away.
	if err := w.Apply(t.Context(), "test", &spec.Desired{
		Environment: spec.Environment{Name: "prod", Zone: &view.Zone}, Services: []spec.Service{service("shop"), service("web")},
	}); err != nil {
		t.Fatal(err)
	}
	w.await(t, "shop to come and api to go", func(v *dnsflip.View) bool {
		_, gone := v.Flips["api"]
		_, come := v.Flips["shop"]
		return !gone && come && v.Flips["web"].Live == spec.Green
	})
}

func TestFeed_AnswersStayWhileConsulIsAway(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]struct {
		begin, end func(*testing.T, *devconsul.Lone)
	}{
		"killed": {
			func(_ *testing.T, c *devconsul.Lone) { c.Kill() },
			func(_ *testing.T, c *devconsul.Lone) { c.Start() },
		},
		// Connections stay open and nothing answers, as in a partition.
		"silent": {
			func(t *testing.T, c *devconsul.Lone) { signal(t, c, unix.SIGSTOP) },
			func(t *testing.T, c *devconsul.Lone) { signal(t, c, unix.SIGCONT) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, true)
			w.recorded(t)
			_, serial := w.ask(t, "web")
			outage.begin(t, w.consul)
			away := time.Now()
			for time.Since(away) < 5*time.Second/2 { // longer than the time between two confirmations
				if pool, now := w.ask(t, "web"); pool != spec.Blue || now != serial {
					t.Fatalf("web leads to %s with serial %d without Consul", pool, now)
				}
				<-time.After(100 * time.Millisecond)
			}
			if view := w.dns.View(); view.At.After(away.Add(100 * time.Millisecond)) { // what was under way
				t.Errorf("the answers pretend to be of %s, Consul is away since %s", view.At, away)
			}
			outage.end(t, w.consul)
			w.flip(t, "web", spec.Green)
			w.await(t, "the flip after the outage", leads("web", spec.Green))
			w.await(t, "the answers to be confirmed", func(v *dnsflip.View) bool { return time.Since(v.At) < time.Second })
		})
	}
}

func signal(t *testing.T, c *devconsul.Lone, sig unix.Signal) {
	t.Helper()
	if err := c.Process().Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func TestFeed_KeepsAServiceWhoseLiveRecordIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.recorded(t)
	live, number := w.Keys.Live("web"), w.Keys.Serial()
	for _, loss := range []struct {
		name string
		lose func(context.Context) error
	}{
		{"deleted with the serial", func(ctx context.Context) error {
			return errors.Join(w.client.Delete(ctx, number), w.client.Delete(ctx, live))
		}},
		{"deleted", func(ctx context.Context) error { return w.client.Delete(ctx, live) }},
		{"garbage", func(context.Context) error {
			_, err := w.client.API().KV().Put(&api.KVPair{Key: live, Value: []byte("garbage")}, nil)
			return err
		}},
	} {
		t.Run(loss.name, func(t *testing.T) {
			w.flip(t, "web", spec.Green)
			w.flip(t, "api", spec.Blue)
			entry, err := w.client.Get(t.Context(), number)
			if err != nil {
				t.Fatal(err)
			}
			serial, err := ledger.ParseSerial(entry.Value)
			if err != nil {
				t.Fatal(err)
			}
			w.await(t, "the flips", func(v *dnsflip.View) bool { return v.Serial == serial })
			if err := loss.lose(t.Context()); err != nil {
				t.Fatal(err)
			}
			lost := time.Now()
			w.await(t, "a view since the loss", func(v *dnsflip.View) bool { return v.At.After(lost) })
			if pool, now := w.ask(t, "web"); pool != spec.Green || now != serial {
				t.Errorf("web leads to %s with serial %d, want %s with %d", pool, now, spec.Green, serial)
			}
			if entry, err := w.client.Get(t.Context(), number); err != nil || entry.Index == 0 {
				// A lost serial begins again with the time, which several
				// changes in a second run ahead of.
				for time.Now().Unix() <= int64(serial) {
					<-time.After(100 * time.Millisecond)
				}
			}
			// The others go on, and so does the health of its pools.
			w.flip(t, "api", spec.Green)
			w.await(t, "the flip of another service", leads("api", spec.Green))
			w.node(t, "web", "g2", spec.Green, "192.0.2.12", api.HealthPassing)
			w.await(t, "a new node of the service", has("web", spec.Green, "192.0.2.11", "192.0.2.12"))
			w.node(t, "web", "g2", spec.Green, "192.0.2.12", api.HealthCritical)
			w.await(t, "the node to be left out", has("web", spec.Green, "192.0.2.11"))
			if pool, now := w.ask(t, "web"); pool != spec.Green || int32(now-serial) <= 0 {
				t.Errorf("web leads to %s with serial %d, want %s and more than %d", pool, now, spec.Green, serial)
			}
			// With a record that can be read it is led by that again.
			if err := w.client.Delete(t.Context(), live); err != nil {
				t.Fatal(err)
			}
			w.flip(t, "web", spec.Blue)
			w.await(t, "the flip of the service itself", leads("web", spec.Blue))
		})
	}
}

func TestFeed_FollowsTheTTLAndWhereAServiceIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.recorded(t)
	apex, targets, elsewhere := service("api"), service("web"), service("mail")
	apex.Switch = spec.Switch{Kind: spec.SwitchDNS, Name: spec.SwitchApex, TTL: spec.Duration(time.Minute), ArmedTTL: spec.Duration(2 * time.Second)}
	targets.Switch.Targets = map[string]string{spec.Blue: "b.example.net", spec.Green: "g.example.net"}
	elsewhere.Switch = spec.Switch{Kind: spec.SwitchDNSUpdate, Name: "mail", Zone: "example.net", Server: "192.0.2.53:53", Key: "k", Targets: targets.Switch.Targets}
	zone := w.dns.View().Zone
	if err := w.Apply(t.Context(), "test", &spec.Desired{
		Environment: spec.Environment{Name: "prod", Zone: &zone}, Services: []spec.Service{apex, elsewhere, targets},
	}); err != nil {
		t.Fatal(err)
	}
	view := w.await(t, "the apex", leads(dnsflip.Apex, spec.Blue))
	if f := view.Flips[dnsflip.Apex]; f.PoolName != "api" || f.TTL != apex.Switch.TTL || f.Port != 80 {
		t.Errorf("the apex is %+v", f)
	}
	if f := view.Flips["web"]; f.PoolName != "" || !maps.Equal(f.Targets, targets.Switch.Targets) {
		t.Errorf("web is %+v", f)
	}
	if len(view.Flips) != 2 {
		t.Errorf("flips: %v", view.Flips)
	}
	arm := func(armed bool) {
		if _, err := w.Do(t.Context(), "api", "test", func(s rollout.Situation) (*rollout.Change, error) {
			live := *s.Live
			live.Armed = armed
			return &rollout.Change{Live: &live, What: "arm"}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	arm(true)
	w.await(t, "the short TTL", func(v *dnsflip.View) bool { return v.Flips[dnsflip.Apex].TTL == apex.Switch.ArmedTTL })
	arm(false)
	w.await(t, "the long TTL", func(v *dnsflip.View) bool { return v.Flips[dnsflip.Apex].TTL == apex.Switch.TTL })
}

// TestFeed_AZoneFileThatIsGoneHoldsUpNoFlip takes the file away between the
// record that names it and whoever reads it.
func TestFeed_AZoneFileThatIsGoneHoldsUpNoFlip(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.recorded(t)
	files := fstest.MapFS{
		"env.hcl":   {Data: []byte("environment \"prod\" {\n  zone \"apps.test\" {\n    name_servers = [\"ns1.apps.test\"]\n    file = \"apps.zone\"\n  }\n}\n")},
		"apps.zone": {Data: []byte("www 60 A 192.0.2.80\n")},
	}
	src, diags := spec.LoadFS(files)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	desired, diags := src.Compile("prod")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	desired.Services = []spec.Service{service("api"), service("web")}
	text, err := json.Marshal(desired.Environment)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.API().KV().Put(&api.KVPair{Key: w.Keys.Environment(), Value: text}, nil); err != nil {
		t.Fatal(err)
	}
	names := func() *ledger.Names {
		entry, err := w.client.Get(t.Context(), w.Keys.Names())
		if err != nil {
			t.Fatal(err)
		}
		names, err := ledger.ParseNames(entry.Value, entry.Index)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	for names().Zone.File == nil { // until the feed has derived it
		<-time.After(10 * time.Millisecond)
	}
	w.flip(t, "web", spec.Green)
	view := w.await(t, "the flip without the file", leads("web", spec.Green))
	if view.ZoneFile != nil || view.Zone.File != nil {
		t.Errorf("the zone is %+v", view.Zone)
	}
	if err := w.Apply(t.Context(), "test", desired); err != nil {
		t.Fatal(err)
	}
	w.await(t, "the file", func(v *dnsflip.View) bool { return bytes.Equal(v.ZoneFile, desired.ZoneFile) && v.Zone.File != nil })
}

func TestFeed_PublishesNothingWithoutAZone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for range 5 {
		w.flip(t, "web", spec.Green)
		w.flip(t, "web", spec.Blue)
		if view := w.dns.View(); view != nil {
			t.Fatalf("published %+v", view)
		}
	}
	if err := w.Apply(t.Context(), "test", &spec.Desired{
		Environment: spec.Environment{Name: "prod", Zone: &spec.Zone{
			Name: "apps.test", NameServers: []string{"ns1.apps.test"}, Admin: "dns@example.net", TTL: spec.Duration(time.Minute), NegativeTTL: spec.Duration(time.Second),
		}},
		Services: []spec.Service{service("web")},
	}); err != nil {
		t.Fatal(err)
	}
	// The feed was at work all the time.
	w.await(t, "the answers of the new zone", leads("web", spec.Blue))
}

// BenchmarkFeed_Flip measures the time from the commit of a switch to the
// first answer that leads to the new pool.
func BenchmarkFeed_Flip(b *testing.B) {
	w := newWorld(b, true)
	w.await(b, "the first answers", leads("web", spec.Blue))
	pool := spec.Blue
	var total, worst time.Duration
	for b.Loop() {
		pool = spec.Other(pool)
		w.flip(b, "web", pool)
		committed := time.Now()
		for {
			if got, _ := w.ask(b, "web"); got == pool {
				break
			}
		}
		took := time.Since(committed)
		total += took
		worst = max(worst, took)
	}
	b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "ms/flip")
	b.ReportMetric(float64(worst.Microseconds())/1000, "ms/worst")
}
