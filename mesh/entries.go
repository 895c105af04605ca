// Package mesh derives Consul's config entries from the live record: clients in
// the service mesh are led to the live pool by a service-resolver, and shared
// out between both pools by a service-splitter while the record has weights.
package mesh

import (
	"maps"
	"slices"
	"strconv"

	"github.com/hashicorp/consul/api"

	"switchd/pools"
	"switchd/spec"
)

// Meta keys of an entry that switchd writes.
const (
	MetaEnv        = "switchd"            // the environment
	MetaGeneration = "switchd-generation" // that of the live record
)

// Kinds are those of the config entries.
func Kinds() []string {
	return []string{api.ServiceResolver, api.ServiceSplitter, api.ServiceDefaults}
}

// Entries are what the config entries of one service are to say.
type Entries struct {
	Resolver *api.ServiceResolverConfigEntry
	Splitter *api.ServiceSplitterConfigEntry // nil: there is to be none
	// Defaults tell what the service speaks; nil: that is left to others.
	Defaults *api.ServiceConfigEntry
}

// Derive is what the entries of a service with a mesh are to say while a live
// record is in force in an environment.
func Derive(env string, live *pools.Live, s spec.Service) Entries {
	name := s.Mesh.Service
	meta := map[string]string{MetaEnv: env, MetaGeneration: strconv.FormatUint(live.Generation, 10)}
	e := Entries{Resolver: &api.ServiceResolverConfigEntry{
		Kind: api.ServiceResolver, Name: name, Meta: meta,
		DefaultSubset: live.Pool,
		Subsets:       map[string]api.ServiceResolverSubset{spec.Blue: subset(spec.Blue), spec.Green: subset(spec.Green)},
	}}
	if len(live.Weights) > 0 {
		e.Splitter = &api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: name, Meta: maps.Clone(meta)}
		for _, pool := range []string{spec.Blue, spec.Green} {
			// A pool without a share is left out: it may well be empty.
			if share := live.Share(pool); share > 0 {
				e.Splitter.Splits = append(e.Splitter.Splits, api.ServiceSplit{Weight: float32(share), ServiceSubset: pool})
			}
		}
	}
	if s.Mesh.Protocol != "" {
		// No generation: it says nothing of where users are led, and proxies
		// are told anew of each change.
		e.Defaults = &api.ServiceConfigEntry{
			Kind: api.ServiceDefaults, Name: name, Protocol: s.Mesh.Protocol, Meta: map[string]string{MetaEnv: env},
		}
	}
	return e
}

// subset is one pool. Consul's own default, that a node which warns is as good
// as one that passes, is not switchd's.
func subset(pool string) api.ServiceResolverSubset {
	return api.ServiceResolverSubset{Filter: "Service.Meta." + pools.MetaPool + " == " + strconv.Quote(pool), OnlyPassing: true}
}

// splits tells whether Consul can split what a service speaks.
func splits(protocol string) bool { return slices.Contains(spec.Protocols()[1:], protocol) }
