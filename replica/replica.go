// Package replica is the processes of `switchd serve` as Consul knows them:
// who they are, and where they answer DNS and HTTP.
package replica

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
)

// Service is the name under which replicas are registered.
const Service = "switchd"

const (
	metaEnv         = "env"
	metaDNS         = "dns"
	metaSwarm       = "swarm"
	metaFingerprint = "fingerprint"
	metaDatacenter  = "datacenter"
	metaRack        = "rack"
)

// Replica is one process of `switchd serve`.
type Replica struct {
	Name string
	Env  string
	HTTP string // host:port of its API, page and artifact store
	DNS  string // host:port of its DNS, empty if it has none
	// Swarm is host:port of its part in the swarm, Fingerprint what it proves
	// there; empty if it has none.
	Swarm, Fingerprint string
	Datacenter, Rack   string
	// Passing tells whether Consul holds it for healthy.
	Passing bool
}

// URL is the base URL of its API, page and artifact store.
func (r Replica) URL() string { return "http://" + r.HTTP }

func (r Replica) id() string { return Service + "-" + r.Env + "-" + r.Name }

// Register makes the replica known. The local Consul agent asks its /healthz,
// and forgets it when it has not answered for ten minutes.
func Register(ctx context.Context, c *consul.Client, r Replica) error {
	host, port, err := net.SplitHostPort(r.HTTP)
	if err != nil {
		return fmt.Errorf("register the replica: HTTP address %q: %w", r.HTTP, err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("register the replica: HTTP address %q: %w", r.HTTP, err)
	}
	err = c.API().Agent().ServiceRegisterOpts(&api.AgentServiceRegistration{
		ID: r.id(), Name: Service, Address: host, Port: number,
		Tags: []string{r.Env},
		Meta: map[string]string{
			metaEnv: r.Env, metaDNS: r.DNS, "replica": r.Name,
			metaSwarm: r.Swarm, metaFingerprint: r.Fingerprint, metaDatacenter: r.Datacenter, metaRack: r.Rack,
		},
		Check: &api.AgentServiceCheck{
			Name: "GET /healthz", HTTP: r.URL() + "/healthz",
			Interval: "1s", Timeout: "1s", Status: api.HealthCritical,
			DeregisterCriticalServiceAfter: (10 * time.Minute).String(),
		},
	}, api.ServiceRegisterOpts{}.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("register the replica on the local Consul agent: %w", err)
	}
	return nil
}

// Deregister takes the replica out of the catalog.
func Deregister(ctx context.Context, c *consul.Client, r Replica) error {
	if err := c.API().Agent().ServiceDeregisterOpts(r.id(), (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		return fmt.Errorf("deregister the replica: %w", err)
	}
	return nil
}

// List reads the replicas of an environment, by name.
func List(ctx context.Context, c *consul.Client, env string) ([]Replica, error) {
	entries, err := c.Service(ctx, Service)
	if err != nil {
		return nil, err
	}
	return FromHealth(entries, env), nil
}

// FromHealth sorts the replicas of an environment out of a health answer.
func FromHealth(entries []*api.ServiceEntry, env string) []Replica {
	var replicas []Replica
	for _, e := range entries {
		if e.Service.Meta[metaEnv] != env {
			continue
		}
		host := cmp.Or(e.Service.Address, e.Node.Address)
		replicas = append(replicas, Replica{
			Name: e.Service.Meta["replica"], Env: env,
			HTTP: net.JoinHostPort(host, strconv.Itoa(e.Service.Port)), DNS: e.Service.Meta[metaDNS],
			Swarm: e.Service.Meta[metaSwarm], Fingerprint: e.Service.Meta[metaFingerprint],
			Datacenter: e.Service.Meta[metaDatacenter], Rack: e.Service.Meta[metaRack],
			Passing: e.Checks.AggregatedStatus() == api.HealthPassing,
		})
	}
	slices.SortFunc(replicas, func(a, b Replica) int { return cmp.Compare(a.Name, b.Name) })
	return replicas
}

// ByHealth sorts replicas, those first that Consul holds for healthy. Otherwise
// their order stays.
func ByHealth(replicas []Replica) {
	slices.SortStableFunc(replicas, func(a, b Replica) int {
		switch {
		case a.Passing == b.Passing:
			return 0
		case a.Passing:
			return -1
		default:
			return 1
		}
	})
}
