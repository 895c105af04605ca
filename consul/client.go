// Package consul is the one adapter to Consul: client, sessions and leases,
// fenced transactions, watches and the names of keys. It does not know what
// the values mean.
package consul

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// CallTimeout bounds every call that isn't a blocking query.
const CallTimeout = 5 * time.Second

// Client talks to one Consul agent. It is safe for concurrent use.
type Client struct {
	api  *api.Client
	addr string
	dc   string
}

// NewClient returns a client for what the flags and Consul's environment
// variables say. It does not connect.
func NewClient(flags Flags) (*Client, error) {
	config := flags.config()
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("set up the Consul client: %w", err)
	}
	return &Client{api: client, addr: config.Address, dc: config.Datacenter}, nil
}

// NewClientOver returns a client whose requests all go through a transport.
func NewClientOver(flags Flags, transport http.RoundTripper) (*Client, error) {
	config := flags.config()
	config.HttpClient = &http.Client{Transport: transport}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("set up the Consul client: %w", err)
	}
	return &Client{api: client, addr: config.Address, dc: config.Datacenter}, nil
}

// Addr is the address that the client was told, by a flag or by Consul's
// environment variables.
func (c *Client) Addr() string { return c.addr }

// API gives Consul's own client for what has no wrapper here.
func (c *Client) API() *api.Client { return c.api }

// Entry is one KV entry.
type Entry struct {
	Key     string
	Value   []byte
	Index   uint64 // ModifyIndex, for CAS
	Session string // the session that holds it, if any
	// Locks counts how often it was locked; Created orders keys by birth.
	Locks   uint64
	Created uint64
}

func entryOf(p *api.KVPair) Entry {
	return Entry{Key: p.Key, Value: p.Value, Index: p.ModifyIndex, Session: p.Session, Locks: p.LockIndex, Created: p.CreateIndex}
}

func consistent(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

// Get reads a key consistently. A missing key gives an Entry with Index 0,
// which is what creates the key in a CAS.
func (c *Client) Get(ctx context.Context, key string) (Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	pair, _, err := c.api.KV().Get(key, consistent(ctx))
	if err != nil {
		return Entry{}, wrap("read "+key, err)
	}
	if pair == nil {
		return Entry{Key: key}, nil
	}
	return entryOf(pair), nil
}

// List reads all keys under a prefix consistently, in the order of their
// names.
func (c *Client) List(ctx context.Context, prefix string) ([]Entry, error) {
	entries, _, err := c.list(ctx, prefix)
	return entries, wrap("list "+prefix, err)
}

func (c *Client) list(ctx context.Context, prefix string) ([]Entry, *api.QueryMeta, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	pairs, meta, err := c.api.KV().List(prefix, consistent(ctx))
	return entriesOf(pairs), meta, err
}

func entriesOf(pairs api.KVPairs) []Entry {
	entries := make([]Entry, 0, len(pairs))
	for _, p := range pairs {
		entries = append(entries, entryOf(p))
	}
	return entries
}

// Names lists the keys under a prefix consistently, without their values, which may
// be large.
func (c *Client) Names(ctx context.Context, prefix string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	names, _, err := c.api.KV().Keys(prefix, "", consistent(ctx))
	return names, wrap("list "+prefix, err)
}

// Delete deletes a key, whoever wrote it last.
func (c *Client) Delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	_, err := c.api.KV().Delete(key, (&api.WriteOptions{}).WithContext(ctx))
	return wrap("delete "+key, err)
}

// Folders lists the names directly under a prefix, folders with a final
// slash.
func (c *Client) Folders(ctx context.Context, prefix string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	keys, _, err := c.api.KV().Keys(prefix, "/", consistent(ctx))
	if err != nil {
		return nil, wrap("list "+prefix, err)
	}
	names := make([]string, 0, len(keys))
	for _, key := range keys {
		if name := key[len(prefix):]; name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// Service reads the instances of a service with their checks, consistently.
func (c *Client) Service(ctx context.Context, name string) ([]*api.ServiceEntry, error) {
	entries, _, err := c.service(ctx, name)
	return entries, wrap("read the health of service "+name, err)
}

func (c *Client) service(ctx context.Context, name string) ([]*api.ServiceEntry, *api.QueryMeta, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	return c.api.Health().Service(name, "", false, consistent(ctx))
}

// ServiceOn reads a service's instances on one node with their checks,
// consistently. It is a small question also where the service has a thousand
// nodes. The checks are read after the instances: those that have gone since
// don't count, and those that came since are not passing yet.
func (c *Client) ServiceOn(ctx context.Context, name, node string) ([]*api.ServiceEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	action := fmt.Sprintf("read the health of service %s on %s", name, node)
	// Not Catalog.Node: it holds the IDs of services to the ACL rules for names.
	found, _, err := c.api.Catalog().NodeServiceList(node, consistent(ctx))
	if err != nil || found == nil {
		return nil, wrap(action, err)
	}
	checks, _, err := c.api.Health().Node(node, consistent(ctx))
	if err != nil {
		return nil, wrap(action, err)
	}
	var entries []*api.ServiceEntry
	for _, service := range found.Services {
		if service.Service != name {
			continue
		}
		entry := &api.ServiceEntry{Node: found.Node, Service: service}
		for _, check := range checks {
			if check.ServiceID == "" || check.ServiceID == service.ID {
				entry.Checks = append(entry.Checks, check)
			}
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// ServiceUnlike reads, from any server and so perhaps a little late, the
// instances of a service that have some metadata and lack other: a small answer
// where most are alike.
func (c *Client) ServiceUnlike(ctx context.Context, name string, with, without map[string]string) ([]*api.ServiceEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	var terms []string
	for _, key := range slices.Sorted(maps.Keys(with)) {
		terms = append(terms, fmt.Sprintf("Service.Meta[%q] == %q", key, with[key]))
	}
	for _, key := range slices.Sorted(maps.Keys(without)) {
		terms = append(terms, fmt.Sprintf("Service.Meta[%q] != %q", key, without[key]))
	}
	opts := (&api.QueryOptions{AllowStale: true, Filter: strings.Join(terms, " and ")}).WithContext(ctx)
	entries, _, err := c.api.Health().Service(name, "", false, opts)
	if err != nil {
		return nil, wrap("read the health of service "+name, err)
	}
	return entries, nil
}

// Nodes reads the names and metadata of all nodes and whether Consul holds
// each of them for alive (its serfHealth check passes).
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	nodes, _, err := c.api.Catalog().Nodes(consistent(ctx))
	if err != nil {
		return nil, wrap("list the nodes", err)
	}
	opts := consistent(ctx)
	opts.Filter = `CheckID == "serfHealth"` // not the checks of all services
	checks, _, err := c.api.Health().State(api.HealthAny, opts)
	if err != nil {
		return nil, wrap("read the health of the nodes", err)
	}
	// A node without the check is an external one, which nobody watches.
	dead := make(map[string]bool)
	for _, check := range checks {
		dead[check.Node] = check.Status != api.HealthPassing
	}
	out := make([]Node, 0, len(nodes))
	for _, n := range nodes {
		out = append(out, Node{Name: n.Node, Address: n.Address, Meta: n.Meta, Alive: !dead[n.Node]})
	}
	return out, nil
}

// NodesWith reads the names of the nodes that have all of the metadata.
func (c *Client) NodesWith(ctx context.Context, meta map[string]string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	opts := consistent(ctx)
	opts.NodeMeta = meta
	nodes, _, err := c.api.Catalog().Nodes(opts)
	if err != nil {
		return nil, wrap("list the nodes", err)
	}
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		names = append(names, n.Node)
	}
	return names, nil
}

// Node is one machine of the catalog.
type Node struct {
	Name       string
	Address    string
	Datacenter string // known of oneself only
	Meta       map[string]string
	Alive      bool
}

// Self is the name and the address of the agent that this client talks to.
func (c *Client) Self(ctx context.Context) (Node, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	// Agent().Self has no context; the raw query carries one.
	var self struct {
		Config struct{ NodeName, Datacenter string }
		Member struct {
			Addr string
		}
		Meta map[string]string
	}
	if _, err := c.api.Raw().Query("/v1/agent/self", &self, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		return Node{}, wrap("ask the local Consul agent for its name", err)
	}
	return Node{Name: self.Config.NodeName, Address: self.Member.Addr, Datacenter: self.Config.Datacenter, Meta: self.Meta, Alive: true}, nil
}

// ConnectionLimit is how many connections the agent that this client talks to
// takes from one address at a time; 0: any number.
// Source: https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file/general#http_max_conns_per_client
func (c *Client) ConnectionLimit(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	var self struct {
		DebugConfig struct{ HTTPMaxConnsPerClient int }
	}
	if _, err := c.api.Raw().Query("/v1/agent/self", &self, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		return 0, wrap("ask the local Consul agent for its limits", err)
	}
	return self.DebugConfig.HTTPMaxConnsPerClient, nil
}
