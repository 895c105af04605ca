package mesh

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// elsewhere is what the service's own entries lead away from it; no subset can
// have this name.
const elsewhere = "another place"

// Shares are the percentages that a compiled chain gives to the subsets of its
// service. Each route of a service-router counts by itself, so that they may be
// more than 100 together: where they are not all on one subset, some requests
// get another one. A route to another service is left out, since it is not this
// one that its requests are for.
func Shares(chain *api.CompiledDiscoveryChain) map[string]float32 {
	shares := make(map[string]float32)
	seen := make(map[string]bool) // routes: a chain is bounded, but not in its paths
	var walk func(name string, share float32, own bool)
	walk = func(name string, share float32, own bool) {
		node := chain.Nodes[name]
		if node == nil || share <= 0 {
			return
		}
		switch node.Type {
		case api.DiscoveryGraphNodeTypeRouter:
			for _, route := range node.Routes {
				if !seen[route.NextNode] {
					seen[route.NextNode] = true
					walk(route.NextNode, share, false)
				}
			}
		case api.DiscoveryGraphNodeTypeSplitter:
			own = own || strings.HasPrefix(node.Name, chain.ServiceName+".")
			for _, split := range node.Splits {
				walk(split.NextNode, share*split.Weight/100, own)
			}
		case api.DiscoveryGraphNodeTypeResolver:
			if node.Resolver == nil {
				return
			}
			switch target := chain.Targets[node.Resolver.Target]; {
			case target == nil:
			case target.Service == chain.ServiceName && target.Datacenter == chain.Datacenter:
				shares[target.ServiceSubset] += share
			case own || target.Service == chain.ServiceName:
				shares[elsewhere] += share
			}
		}
	}
	walk(chain.StartNode, 100, true)
	return shares
}

// Leads tells whether all requests for the service that a compiled chain leads
// to it get one subset, and says where they are led.
func Leads(chain *api.CompiledDiscoveryChain, subset string) (leads bool, words string) {
	shares := Shares(chain)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(shares)) {
		part := name
		if part == "" {
			part = "all instances"
		}
		if len(shares) > 1 || shares[name] < 100 {
			part = percentage(shares[name]) + " to " + part
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return false, "no instance of the service"
	}
	return len(shares) == 1 && shares[subset] > 0, strings.Join(parts, ", ")
}
