// Package xds asks Consul for what an Envoy beside a service would be told, and
// shows which endpoints it would send requests to. It is for tests: no traffic
// flows.
package xds

import (
	"context"
	"errors"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// The types of resources, as requests name them.
const (
	prefix    = "type.googleapis.com/"
	clusters  = prefix + "envoy.config.cluster.v3.Cluster"
	endpoints = prefix + "envoy.config.endpoint.v3.ClusterLoadAssignment"
	listeners = prefix + "envoy.config.listener.v3.Listener"
	routes    = prefix + "envoy.config.route.v3.RouteConfiguration"
)

// client is a proxy's subscription to the resources that it is made of.
//
// It speaks the incremental variant of xDS over one aggregated stream, which is
// how Consul has Envoy configured.
// Source: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds
type client struct {
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	state  state
	asked  map[string]bool // by type and name
}

// Follow asks the gRPC address of a Consul agent as the proxy that is registered
// with it under an ID, and calls each with where requests would go after every
// answer. It returns when ctx ends or the stream breaks.
func Follow(ctx context.Context, addr, proxy string, each func(Upstreams)) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", addr, err)
	}
	defer conn.Close() //nolint:errcheck // nothing is written by it
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("ask %s as %s: %w", addr, proxy, err)
	}
	c := &client{stream: stream, state: newState(), asked: make(map[string]bool)}
	for _, kind := range []string{clusters, listeners} {
		if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node(proxy), TypeUrl: kind}); err != nil {
			return fmt.Errorf("ask %s as %s: %w", addr, proxy, err)
		}
	}
	for {
		response, err := stream.Recv()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ask %s as %s: %w", addr, proxy, err)
		}
		if err := c.take(response); err != nil {
			return fmt.Errorf("ask %s as %s: %w", addr, proxy, err)
		}
		each(c.state.upstreams())
	}
}

// node is how Envoy says who it is. Consul goes by the version.
func node(proxy string) *corev3.Node {
	return &corev3.Node{
		Id: proxy, Cluster: proxy, UserAgentName: "envoy",
		UserAgentVersionType: &corev3.Node_UserAgentBuildVersion{UserAgentBuildVersion: &corev3.BuildVersion{
			Version: &typev3.SemanticVersion{MajorNumber: 1, MinorNumber: 35, Patch: 3},
		}},
	}
}

// take keeps what has changed, acknowledges it and asks for what it leads to.
func (c *client) take(response *discoveryv3.DeltaDiscoveryResponse) error {
	for _, r := range response.GetResources() {
		if err := c.state.set(response.GetTypeUrl(), r); err != nil {
			return err
		}
	}
	for _, name := range response.GetRemovedResources() {
		c.state.remove(response.GetTypeUrl(), name)
	}
	err := c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: response.GetTypeUrl(), ResponseNonce: response.GetNonce()})
	return errors.Join(err, c.ask(endpoints, c.state.endpointNames()), c.ask(routes, c.state.routeNames()))
}

// ask subscribes to just these, and cancels what was subscribed to and is gone.
func (c *client) ask(kind string, names []string) error {
	request := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: kind}
	wanted := make(map[string]bool)
	for _, name := range names {
		wanted[kind+name] = true
		if !c.asked[kind+name] {
			c.asked[kind+name] = true
			request.ResourceNamesSubscribe = append(request.ResourceNamesSubscribe, name)
		}
	}
	for key := range c.asked {
		if len(key) > len(kind) && key[:len(kind)] == kind && !wanted[key] {
			delete(c.asked, key)
			request.ResourceNamesUnsubscribe = append(request.ResourceNamesUnsubscribe, key[len(kind):])
			c.state.remove(kind, key[len(kind):])
		}
	}
	if len(request.GetResourceNamesSubscribe())+len(request.GetResourceNamesUnsubscribe()) == 0 {
		return nil
	}
	return c.stream.Send(request)
}
