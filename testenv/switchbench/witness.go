package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"

	"switchd/consul"
	"switchd/mesh"
	"switchd/spec"
	"switchd/testenv/cluster"
	"switchd/testenv/xds"
)

// witness is something that shows where users are led.
type witness struct {
	name string

	mu      sync.Mutex
	pool    string // that it shows; empty: neither alone
	since   time.Time
	changed chan struct{} // closed when that changes
}

func newWitness(name string) *witness { return &witness{name: name, changed: make(chan struct{})} }

// shows notes what is seen now.
func (w *witness) shows(pool string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pool == pool {
		return
	}
	w.pool, w.since = pool, time.Now()
	close(w.changed)
	w.changed = make(chan struct{})
}

// until waits until a pool is shown, and tells since when.
func (w *witness) until(ctx context.Context, pool string) (time.Time, error) {
	for {
		w.mu.Lock()
		shown, since, changed := w.pool, w.since, w.changed
		w.mu.Unlock()
		if shown == pool {
			return since, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return since, fmt.Errorf("wait until %s shows %s, which shows %q: %w", w.name, pool, shown, ctx.Err())
		}
	}
}

// pools are the pools of nodes by their address.
func pools(c *cluster.Cluster) map[string]string {
	all := make(map[string]string)
	for _, a := range c.Agents {
		all[a.Address()] = a.Pool
	}
	return all
}

// askEvery is how often a replica is asked what it answers.
const askEvery = time.Millisecond

// watchDNS asks a replica until ctx ends.
func (w *witness) watchDNS(ctx context.Context, server string, pools map[string]string) {
	question := new(dns.Msg)
	question.SetQuestion("web."+cluster.Zone+".", dns.TypeA)
	client := &dns.Client{Timeout: time.Second}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return // until then says what is missing
	}
	defer func() { _ = conn.Close() }()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		question.Id = dns.Id()
		answer, _, err := client.ExchangeWithConnContext(ctx, question, conn)
		if err == nil {
			var shown []string
			for _, record := range answer.Answer {
				if a, ok := record.(*dns.A); ok {
					shown = append(shown, pools[a.A.String()])
				}
			}
			w.shows(only(shown))
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// watchChain follows the compiled discovery chain until ctx ends.
func (w *witness) watchChain(ctx context.Context, client *consul.Client) {
	client.WatchChain(ctx, "web", func(seen consul.Seen[*api.CompiledDiscoveryChain]) {
		if seen.Err != nil {
			return
		}
		for _, pool := range []string{spec.Blue, spec.Green} {
			if leads, _ := mesh.Leads(seen.Value, pool); leads {
				w.shows(pool)
				return
			}
		}
		w.shows("")
	})
}

// watchProxy follows what a proxy is told until ctx ends.
func (w *witness) watchProxy(ctx context.Context, addr string, pools map[string]string) error {
	return xds.Follow(ctx, addr, proxy, func(u xds.Upstreams) {
		var shown []string
		for endpoint := range u["web"] {
			if at, err := netip.ParseAddrPort(endpoint); err == nil {
				shown = append(shown, pools[at.Addr().String()])
			}
		}
		w.shows(only(shown))
	})
}

// only is the pool that all of them are, empty if there are several or none.
func only(shown []string) string {
	if all := slices.Compact(shown); len(all) == 1 {
		return all[0]
	}
	return ""
}

// proxy is the sidecar of a client of web.
const proxy = "shop-sidecar-proxy"

// sidecars registers one for each instance of web, as docs/MESH.md has them, and
// one for a client.
func sidecars(ctx context.Context, c *cluster.Cluster) error {
	for _, a := range c.Agents {
		id := "web-" + a.Pool
		if err := register(ctx, a.ConsulAddr(), &api.AgentServiceRegistration{
			Kind: api.ServiceKindConnectProxy, ID: id + "-sidecar-proxy", Name: "web-sidecar-proxy", Address: a.Address(), Port: 21000,
			Meta: map[string]string{"pool": a.Pool},
			Proxy: &api.AgentServiceConnectProxyConfig{
				DestinationServiceName: "web", DestinationServiceID: id, LocalServiceAddress: a.Address(), LocalServicePort: c.AppPort(),
			},
			Checks: api.AgentServiceChecks{{Name: id, AliasService: id}},
		}); err != nil {
			return err
		}
	}
	return register(ctx, c.ConsulAddr(), &api.AgentServiceRegistration{
		Kind: api.ServiceKindConnectProxy, ID: proxy, Name: proxy, Port: 20000,
		Proxy: &api.AgentServiceConnectProxyConfig{
			DestinationServiceName: "shop", Upstreams: []api.Upstream{{DestinationName: "web", LocalBindPort: 9191}},
		},
	})
}

func register(ctx context.Context, addr string, r *api.AgentServiceRegistration) error {
	client, err := consul.NewClient(consul.Flags{HTTPAddr: addr})
	if err != nil {
		return err
	}
	if err := client.API().Agent().ServiceRegisterOpts(r, api.ServiceRegisterOpts{}.WithContext(ctx)); err != nil {
		return fmt.Errorf("register %s: %w", r.ID, err)
	}
	return nil
}
