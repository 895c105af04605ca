package rolling

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"switchd/consul"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// view is what an agent last saw of the environment.
type view struct {
	node string
	meta map[string]string

	mu      sync.Mutex
	entries map[string][]consul.Entry // by watched prefix
	log     *slog.Logger
}

// order is what one unit is told.
type order struct {
	id      string
	service spec.Service
	pool    string
	deploy  rollout.Order
	member  bool // whether the node is one of the pool's
}

func newView(node string, meta map[string]string) *view {
	return &view{node: node, meta: meta, entries: make(map[string][]consul.Entry), log: slog.New(slog.DiscardHandler)}
}

func (v *view) update(prefix string, entries []consul.Entry, log *slog.Logger) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.entries[prefix], v.log = entries, log
}

// setMeta replaces the node's metadata and tells whether they are others now.
func (v *view) setMeta(meta map[string]string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if maps.Equal(v.meta, meta) {
		return false
	}
	v.meta = meta
	return true
}

// orders are what each unit should do, those of other nodes too; none before everything
// has been seen once, since half of the facts would lead astray.
func (v *view) orders(keys consul.Keys) []order {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, prefix := range []string{keys.Specs(), keys.Orders()} {
		if _, seen := v.entries[prefix]; !seen {
			return nil
		}
	}
	var orders []order
	for _, entry := range v.entries[keys.Specs()] {
		var s spec.Service
		if err := json.Unmarshal(entry.Value, &s); err != nil {
			v.log.Error("desired state can't be read", "key", entry.Key, "error", err)
			continue
		}
		deploy, err := rollout.ParseOrder(find(v.entries[keys.Orders()], keys.Order(s.Name)))
		if err != nil {
			v.log.Error("order can't be read", "service", s.Name, "error", err)
			continue
		}
		for _, colour := range []string{spec.Blue, spec.Green} {
			orders = append(orders, order{
				id: pools.ID(s.Name, colour), service: s, pool: colour, deploy: deploy, member: v.member(s.Pools[colour]),
			})
		}
	}
	return orders
}

// member tells whether this node is one of a pool's.
func (v *view) member(pool spec.Pool) bool {
	members := pools.Members(pool, []consul.Node{{Name: v.node, Meta: v.meta, Alive: true}})
	return slices.ContainsFunc(members, func(n consul.Node) bool { return n.Name == v.node })
}

func find(entries []consul.Entry, key string) []byte {
	i := slices.IndexFunc(entries, func(e consul.Entry) bool { return e.Key == key })
	if i < 0 {
		return nil
	}
	return entries[i].Value
}
