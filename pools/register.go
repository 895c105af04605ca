package pools

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/spec"
)

// Registration is what a node says of its own instance.
type Registration struct {
	Service spec.Service
	Pool    string
	Version string
	Release string
	Address string
	Port    int
	Live    bool // whether the live record names this pool
	// Healthy tells that it was seen to be healthy just now. It passes from the
	// start then, where it is a new version; Consul's own check goes on from
	// there.
	Healthy bool
	// Replace tells that the checks of the former version go, and with them the
	// maintenance that the replacement was made under.
	Replace bool
}

// ID is the registration's name on its node.
func ID(service, pool string) string { return service + "-" + pool }

// Register writes the registration to the local Consul agent, which keeps it
// in the catalog by anti-entropy; a registration made anywhere else would be
// overwritten. Registering again keeps the check's state.
func Register(ctx context.Context, c *consul.Client, r Registration) error {
	address := net.JoinHostPort(r.Address, strconv.Itoa(r.Port))
	state := api.HealthCritical // until proven
	if r.Healthy {
		state = api.HealthPassing
	}
	share := "idle"
	if r.Live {
		share = "live"
	}
	// An operator's own maintenance outlives every other registration.
	opts := api.ServiceRegisterOpts{ReplaceExistingChecks: r.Replace}.WithContext(ctx)
	err := c.API().Agent().ServiceRegisterOpts(&api.AgentServiceRegistration{
		ID:      ID(r.Service.Name, r.Pool),
		Name:    r.Service.Name,
		Address: r.Address,
		Port:    r.Port,
		Tags:    []string{r.Pool, share},
		Meta:    map[string]string{MetaPool: r.Pool, MetaVersion: r.Version, MetaRelease: r.Release},
		Check: &api.AgentServiceCheck{
			// Consul keeps the state of a check that it knows, so that to
			// register again changes nothing; a new version is a new check.
			CheckID:  fmt.Sprintf("switchd:%s:%s-%.12s", ID(r.Service.Name, r.Pool), r.Version, r.Release),
			Name:     "GET " + r.Service.Health.Path,
			HTTP:     "http://" + address + r.Service.Health.Path,
			Method:   "GET",
			Interval: r.Service.Health.Interval.String(),
			Timeout:  r.Service.Health.Timeout.String(),
			Status:   state,
		},
	}, opts)
	if err != nil {
		return fmt.Errorf("register %s on the local Consul agent: %w", ID(r.Service.Name, r.Pool), err)
	}
	return nil
}

// Registered tells whether the local Consul agent still has the instance with
// its version, which it hasn't when it has lost its data directory. To ask is
// better than to register again, which begins the health check's interval anew.
func Registered(ctx context.Context, c *consul.Client, r Registration) (bool, error) {
	services, err := c.API().Agent().ServicesWithFilterOpts("", (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return false, fmt.Errorf("ask the local Consul agent for %s: %w", ID(r.Service.Name, r.Pool), err)
	}
	service, found := services[ID(r.Service.Name, r.Pool)]
	return found && service.Meta[MetaVersion] == r.Version && service.Meta[MetaRelease] == r.Release, nil
}

// PassesHere asks the local Consul agent whether the node's instance passes.
func PassesHere(ctx context.Context, c *consul.Client, service, pool string) (bool, error) {
	status, _, err := c.API().Agent().AgentHealthServiceByIDOpts(ID(service, pool), (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return false, fmt.Errorf("ask the local Consul agent for %s: %w", ID(service, pool), err)
	}
	return status == api.HealthPassing, nil
}

// Maintain puts the node's instance into Consul's maintenance mode, so that
// nobody is sent to it, or takes it out again. The mode survives a restart of
// both agents.
func Maintain(ctx context.Context, c *consul.Client, service, pool, why string, on bool) error {
	opts := (&api.QueryOptions{}).WithContext(ctx)
	if on {
		if err := c.API().Agent().EnableServiceMaintenanceOpts(ID(service, pool), why, opts); err != nil {
			return fmt.Errorf("put %s into maintenance: %w", ID(service, pool), err)
		}
		return nil
	}
	if err := c.API().Agent().DisableServiceMaintenanceOpts(ID(service, pool), opts); err != nil {
		return fmt.Errorf("take %s out of maintenance: %w", ID(service, pool), err)
	}
	return nil
}

// Deregister takes the node's instance out of the catalog. One that isn't there
// is no error.
func Deregister(ctx context.Context, c *consul.Client, service, pool string) error {
	err := c.API().Agent().ServiceDeregisterOpts(ID(service, pool), (&api.QueryOptions{}).WithContext(ctx))
	if status, ok := errors.AsType[api.StatusError](err); ok && status.Code == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deregister %s: %w", ID(service, pool), err)
	}
	return nil
}
