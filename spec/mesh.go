package spec

import (
	"fmt"
	"time"
)

// Mesh says that Consul's service mesh leads to the pool too: a switch of the
// kind SwitchResolver.
type Mesh struct {
	// Service is the name in Consul that clients in the mesh ask for.
	Service string `json:"service"`
	// Protocol is what the service speaks, one of Protocols. Empty: what Consul
	// has been told by somebody else, or TCP.
	Protocol string `json:"protocol,omitempty"`
}

// SwitchResolver leads clients in Consul's service mesh, by config entries.
const SwitchResolver = "resolver"

// Protocols are those that Consul's mesh knows. All but the first can be split
// by weights.
// Source: https://developer.hashicorp.com/consul/docs/reference/config-entry/service-defaults#protocol
func Protocols() []string { return []string{"tcp", "http", "http2", "grpc"} }

func (m *Mesh) form() form {
	return form{attrs: []attr{
		text("service", &m.Service, serviceRule()),
		text("protocol", &m.Protocol, oneOf(Protocols()...)),
	}}
}

// completeSwitch fills in what depends on other values. A service has a DNS
// name unless its inputs ask for the mesh alone.
func (s *Service) completeSwitch(at scope) {
	s.Switch.complete()
	if s.Mesh == nil {
		return
	}
	if !at.set("switch") {
		s.Switch = Switch{}
	}
	if len(s.Weights) > 0 && s.Mesh.Protocol == "" {
		s.Mesh.Protocol = "http"
	}
}

func (s *Service) validateSwitch(at scope) {
	if s.Switch.Kind == SwitchDNSUpdate && len(s.Weights) > 0 {
		at.wrong("weights", "No weights for this switch", "A switch of kind %q changes a CNAME, which has one target (RFC 1034 section 3.6.2): it can't give a share to each pool. Remove weights.", SwitchDNSUpdate)
	}
	if s.Mesh != nil && s.Mesh.Protocol == Protocols()[0] && len(s.Weights) > 0 {
		at.wrong("switch.resolver.protocol", "No weights for this protocol", "Consul's mesh can't split %s, of which it sees connections only and no requests. Remove weights, or choose one of %s if the service speaks it.",
			s.Mesh.Protocol, quoted(Protocols()[1:]))
	}
}

// meshLag is how long proxies may take to be told of a node that has gone.
const meshLag = time.Second

// LedFor is how long clients may still be led to a node that was taken out of
// the catalog: by answers in caches, and by proxies that have yet to be told.
func (s *Service) LedFor() time.Duration {
	if s.Mesh == nil {
		return s.Switch.TTL.Std()
	}
	return max(s.Switch.TTL.Std(), meshLag)
}

// switchNest are the blocks that say how users are led: one for DNS, and one
// for the mesh beside it.
func (s *Service) switchNest() nested {
	kinds := oneOf(SwitchKinds()...)
	return nested{
		name: "switch", label: &kinds, one: true, beside: SwitchResolver,
		add: func(label string, fill func(section)) {
			if label == SwitchResolver {
				m := Mesh{Service: s.Name}
				fill(&m)
				s.Mesh = &m
				return
			}
			s.Switch.Kind = label
			fill(&s.Switch)
		},
		each: func(visit func(string, section)) {
			if s.Switch.Kind != "" {
				visit(s.Switch.Kind, &s.Switch)
			}
			if s.Mesh != nil {
				visit(SwitchResolver, s.Mesh)
			}
		},
	}
}

// checkMesh finds two services that would lead the same clients.
func checkMesh(all []compiled) {
	taken := make(map[string]string) // name → by whom
	for _, one := range all {
		if one.Mesh == nil {
			continue
		}
		at, name := scope{c: one.compiler}, one.Mesh.Service
		if by, ok := taken[name]; ok {
			at.wrong("switch.resolver.service", "Name in the mesh taken", "Service %q would lead the clients of %q in Consul's mesh, which %s does. Give one of the two another service in its switch block.",
				one.Name, name, by)
			continue
		}
		taken[name] = fmt.Sprintf("service %q (%s)", one.Name, place(at.where("switch.resolver.service")))
	}
}
