package consul

import (
	"context"
	"errors"
	"net/http"

	"github.com/hashicorp/consul/api"
)

// ConfigEntry reads one of Consul's config entries consistently, nil if there
// is none of the kind and name.
func (c *Client) ConfigEntry(ctx context.Context, kind, name string) (api.ConfigEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	entry, _, err := c.api.ConfigEntries().Get(kind, name, consistent(ctx))
	if status, ok := errors.AsType[api.StatusError](err); ok && status.Code == http.StatusNotFound {
		return nil, nil //nolint:nilnil // none is an ordinary state
	}
	if err != nil {
		return nil, wrap("read the "+kind+" of "+name, err)
	}
	return entry, nil
}

// WriteConfigEntry writes a config entry if its index still is what was read;
// index 0 creates it only. Otherwise it is an ErrConflict.
//
// Consul skips a write that changes nothing, which then moves no index: such a
// write fences off nobody.
func (c *Client) WriteConfigEntry(ctx context.Context, entry api.ConfigEntry, index uint64) error {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	ok, _, err := c.api.ConfigEntries().CAS(entry, index, (&api.WriteOptions{}).WithContext(ctx))
	return cas("write the "+entry.GetKind()+" of "+entry.GetName(), ok, err)
}

// DeleteConfigEntry deletes a config entry in the same way.
func (c *Client) DeleteConfigEntry(ctx context.Context, kind, name string, index uint64) error {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	ok, _, err := c.api.ConfigEntries().DeleteCAS(kind, name, index, (&api.WriteOptions{}).WithContext(ctx))
	return cas("delete the "+kind+" of "+name, ok, err)
}

func cas(action string, ok bool, err error) error {
	if err == nil && !ok {
		return &Error{Action: action, Kind: ErrConflict}
	}
	return wrap(action, err)
}

// WatchConfigEntries watches all config entries of a kind.
func (c *Client) WatchConfigEntries(ctx context.Context, kind string, each func(Seen[[]api.ConfigEntry])) {
	Watch(ctx, func(q *api.QueryOptions) ([]api.ConfigEntry, *api.QueryMeta, error) {
		return c.api.ConfigEntries().List(kind, q)
	}, each)
}

// Chain reads consistently what Consul has compiled a service's config entries
// to. There is always one: a service without entries has the default chain.
func (c *Client) Chain(ctx context.Context, service string) (*api.CompiledDiscoveryChain, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	chain, _, err := c.chain(service, consistent(ctx))
	return chain, wrap("read the discovery chain of "+service, err)
}

// WatchChain watches what a service's config entries are compiled to.
func (c *Client) WatchChain(ctx context.Context, service string, each func(Seen[*api.CompiledDiscoveryChain])) {
	Watch(ctx, func(q *api.QueryOptions) (*api.CompiledDiscoveryChain, *api.QueryMeta, error) {
		return c.chain(service, q)
	}, each)
}

func (c *Client) chain(service string, q *api.QueryOptions) (*api.CompiledDiscoveryChain, *api.QueryMeta, error) {
	response, meta, err := c.api.DiscoveryChain().Get(service, nil, q)
	if err != nil {
		return nil, meta, err
	}
	if response.Chain == nil {
		return nil, meta, errNoChain
	}
	return response.Chain, meta, nil
}

// errNoChain is an answer that no Consul gives.
var errNoChain = errors.New("the answer has no chain")
