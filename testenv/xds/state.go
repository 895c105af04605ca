package xds

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
)

// Upstreams are the percentages of requests that endpoints would get, by the
// name of the upstream and the endpoint's address.
type Upstreams map[string]map[string]float64

// state are the resources that a proxy has been told, by name.
type state struct {
	clusters  map[string]*clusterv3.Cluster
	endpoints map[string]*endpointv3.ClusterLoadAssignment
	listeners map[string]*listenerv3.Listener
	routes    map[string]*routev3.RouteConfiguration
}

func newState() state {
	return state{
		clusters:  make(map[string]*clusterv3.Cluster),
		endpoints: make(map[string]*endpointv3.ClusterLoadAssignment),
		listeners: make(map[string]*listenerv3.Listener),
		routes:    make(map[string]*routev3.RouteConfiguration),
	}
}

func (s state) set(kind string, r *discoveryv3.Resource) error {
	switch kind {
	case clusters:
		return keep(s.clusters, r)
	case endpoints:
		return keep(s.endpoints, r)
	case listeners:
		return keep(s.listeners, r)
	case routes:
		return keep(s.routes, r)
	default:
		return fmt.Errorf("got %s, which was not asked for", kind)
	}
}

func keep[T any, P interface {
	*T
	proto.Message
}](all map[string]P, r *discoveryv3.Resource) error {
	message := P(new(T))
	if err := r.GetResource().UnmarshalTo(message); err != nil {
		return fmt.Errorf("read %s: %w", r.GetName(), err)
	}
	all[r.GetName()] = message
	return nil
}

func (s state) remove(kind, name string) {
	switch kind {
	case clusters:
		delete(s.clusters, name)
	case endpoints:
		delete(s.endpoints, name)
	case listeners:
		delete(s.listeners, name)
	case routes:
		delete(s.routes, name)
	}
}

// endpointNames are the clusters whose endpoints are asked for.
func (s state) endpointNames() []string {
	var names []string
	for name, c := range s.clusters {
		if c.GetType() == clusterv3.Cluster_EDS {
			names = append(names, name)
		}
	}
	return names
}

// routeNames are the routes that listeners refer to.
func (s state) routeNames() []string {
	var names []string
	for _, l := range s.listeners {
		for _, manager := range filters[httpv3.HttpConnectionManager](l) {
			if name := manager.GetRds().GetRouteConfigName(); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// filters are a listener's of one type.
func filters[T any, P interface {
	*T
	proto.Message
}](l *listenerv3.Listener) []P {
	var found []P
	for _, chain := range append(slices.Clone(l.GetFilterChains()), l.GetDefaultFilterChain()) {
		for _, f := range chain.GetFilters() {
			message := P(new(T))
			if f.GetTypedConfig().UnmarshalTo(message) == nil {
				found = append(found, message)
			}
		}
	}
	return found
}

// upstreams is where requests go that the service sends to its proxy.
func (s state) upstreams() Upstreams {
	all := make(Upstreams)
	for name, l := range s.listeners {
		if l.GetTrafficDirection() != corev3.TrafficDirection_OUTBOUND {
			continue
		}
		upstream, _, _ := strings.Cut(name, ":")
		shares := make(map[string]float64)
		for _, manager := range filters[httpv3.HttpConnectionManager](l) {
			config := manager.GetRouteConfig()
			if manager.GetRds() != nil {
				config = s.routes[manager.GetRds().GetRouteConfigName()]
			}
			for _, host := range config.GetVirtualHosts() {
				for _, route := range host.GetRoutes() {
					s.routed(route.GetRoute(), shares)
				}
			}
		}
		for _, tcp := range filters[tcpv3.TcpProxy](l) {
			s.share(tcp.GetCluster(), 100, shares)
		}
		all[upstream] = shares
	}
	return all
}

// routed adds what the clusters of a route get.
func (s state) routed(route *routev3.RouteAction, shares map[string]float64) {
	if name := route.GetCluster(); name != "" {
		s.share(name, 100, shares)
	}
	total := uint32(0)
	for _, c := range route.GetWeightedClusters().GetClusters() {
		total += c.GetWeight().GetValue()
	}
	for _, c := range route.GetWeightedClusters().GetClusters() {
		s.share(c.GetName(), 100*float64(c.GetWeight().GetValue())/float64(total), shares)
	}
}

// share adds what the healthy endpoints of a cluster get of a percentage.
func (s state) share(cluster string, percent float64, shares map[string]float64) {
	healthy := make(map[string]bool)
	for _, place := range s.endpoints[cluster].GetEndpoints() {
		for _, e := range place.GetLbEndpoints() {
			at := e.GetEndpoint().GetAddress().GetSocketAddress()
			if e.GetHealthStatus() == corev3.HealthStatus_HEALTHY {
				healthy[net.JoinHostPort(at.GetAddress(), strconv.Itoa(int(at.GetPortValue())))] = true
			}
		}
	}
	for at := range maps.Keys(healthy) {
		shares[at] += percent / float64(len(healthy))
	}
}
