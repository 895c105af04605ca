package xds_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/goleak"

	"switchd/consul"
	"switchd/mesh"
	"switchd/pools"
	"switchd/spec"
	"switchd/testenv/devconsul"
	"switchd/testenv/xds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a Consul with two nodes of each pool of web, each with its sidecar,
// and the sidecar of a client.
type world struct {
	client  *consul.Client
	grpc    string
	deriver *mesh.Deriver

	spec spec.Service
	mu   sync.Mutex
	live *pools.Live

	seen chan xds.Upstreams // after each answer
}

func (w *world) Service(context.Context, string) (spec.Service, error) { return w.spec, nil }

func (w *world) Live(context.Context, string) (*pools.Live, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.live, nil
}

const proxy = "shop-sidecar-proxy"

// endpoints are the sidecars of a pool.
func endpoints(pool string) []string {
	if pool == spec.Blue {
		return []string{"192.0.2.1:21001", "192.0.2.2:21002"}
	}
	return []string{"192.0.2.3:21003", "192.0.2.4:21004"}
}

func newWorld(tb testing.TB, protocol string) *world {
	tb.Helper()
	server := devconsul.StartMesh(tb)
	w := &world{client: server.Client(), grpc: server.GRPC(), seen: make(chan xds.Upstreams, 1)}
	w.spec = spec.Service{Name: "web", Mesh: &spec.Mesh{Service: "web", Protocol: protocol}}
	w.deriver = &mesh.Deriver{Env: "prod", Source: w, Store: w.client}
	agent := w.client.API().Agent()
	for i := range 4 {
		pool := []string{spec.Blue, spec.Green}[i/2]
		service := &api.AgentServiceRegistration{
			ID: fmt.Sprintf("web-%s-%d", pool, i), Name: "web", Address: fmt.Sprintf("192.0.2.%d", i+1), Port: 80, Meta: map[string]string{pools.MetaPool: pool},
		}
		// A sidecar of its own definition must say the pool; one that is
		// registered along with the service has its metadata.
		sidecar := &api.AgentServiceRegistration{Port: 21001 + i, Checks: api.AgentServiceChecks{{Name: "web", AliasService: service.ID}}}
		all := []*api.AgentServiceRegistration{service}
		if i%2 == 0 {
			service.Connect = &api.AgentServiceConnect{SidecarService: sidecar}
		} else {
			sidecar.Kind, sidecar.ID, sidecar.Name, sidecar.Address = api.ServiceKindConnectProxy, service.ID+"-proxy", "web-sidecar-proxy", service.Address
			sidecar.Meta = service.Meta
			sidecar.Proxy = &api.AgentServiceConnectProxyConfig{
				DestinationServiceName: "web", DestinationServiceID: service.ID, LocalServiceAddress: "127.0.0.1", LocalServicePort: service.Port,
			}
			all = append(all, sidecar)
		}
		for _, r := range all {
			if err := agent.ServiceRegister(r); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := agent.ServiceRegister(&api.AgentServiceRegistration{
		Kind: api.ServiceKindConnectProxy, ID: proxy, Name: proxy, Port: 20000,
		Proxy: &api.AgentServiceConnectProxyConfig{
			DestinationServiceName: "shop", Upstreams: []api.Upstream{{DestinationName: "web", LocalBindPort: 9191}},
		},
	}); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	var following sync.WaitGroup
	following.Go(func() {
		if err := xds.Follow(ctx, w.grpc, proxy, func(u xds.Upstreams) {
			select { // only the last one counts
			case <-w.seen:
			default:
			}
			w.seen <- u
		}); err != nil {
			tb.Errorf("the proxy: %v", err)
		}
	})
	tb.Cleanup(func() {
		cancel()
		following.Wait()
	})
	return w
}

// lead writes another live record and has the mesh follow, and gives the time
// until the proxy has been told.
func (w *world) lead(tb testing.TB, pool string, share int) time.Duration {
	tb.Helper()
	w.mu.Lock()
	live := w.live.Next("test", time.Now())
	live.Service, live.Pool, live.Version = "web", pool, "1.0.0"
	if share > 0 {
		live.Weights = map[string]int{pool: 100 - share, spec.Other(pool): share}
	}
	w.live = live
	w.mu.Unlock()
	began := time.Now()
	if _, err := w.deriver.Derive(tb.Context(), "web"); err != nil {
		tb.Fatal(err)
	}
	want := make(map[string]float64)
	for _, colour := range []string{spec.Blue, spec.Green} {
		for _, at := range endpoints(colour) {
			if live.Share(colour) > 0 {
				want[at] = float64(live.Share(colour)) / 2
			}
		}
	}
	w.await(tb, want)
	return time.Since(began)
}

// await waits until requests for web would go to just these endpoints.
func (w *world) await(tb testing.TB, want map[string]float64) {
	tb.Helper()
	var last map[string]float64
	deadline := time.After(20 * time.Second)
	for {
		select {
		case u := <-w.seen:
			if last = u["web"]; maps.Equal(last, want) {
				return
			}
		case <-deadline:
			tb.Fatalf("requests would go to %v, want %v", last, want)
		}
	}
}

func TestFollow_ShowsThatEndpointsFollowTheLiveRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "http")
	for _, step := range []struct {
		pool  string
		share int
	}{{spec.Blue, 0}, {spec.Blue, 1}, {spec.Blue, 25}, {spec.Blue, 50}, {spec.Green, 0}, {spec.Blue, 0}, {spec.Green, 0}} {
		took := w.lead(t, step.pool, step.share)
		t.Logf("%s live, %d %% to the other: the proxy has its endpoints after %s", step.pool, step.share, took.Round(time.Millisecond))
	}
	// A node that goes into maintenance gets no requests any more.
	for i, at := range []int{3, 2} {
		if err := w.client.API().Agent().EnableServiceMaintenance(fmt.Sprintf("web-green-%d", at), "test"); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			w.await(t, map[string]float64{endpoints(spec.Green)[0]: 100})
		} else {
			w.await(t, map[string]float64{})
		}
	}
}

func TestFollow_ShowsThatConnectionsFollowWithoutAProtocol(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.lead(t, spec.Blue, 0)
	w.lead(t, spec.Green, 0)
	w.lead(t, spec.Blue, 0)
}

// BenchmarkSwitch measures from the live record to a proxy's endpoints.
func BenchmarkSwitch(b *testing.B) {
	w := newWorld(b, "http")
	w.lead(b, spec.Blue, 0)
	var times []time.Duration
	for b.Loop() {
		times = append(times, w.lead(b, spec.Other(w.live.Pool), 0))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}
