package spec

import (
	"fmt"
	"strings"
)

// Switch says how users are led to a pool.
type Switch struct {
	Kind string `json:"kind"` // SwitchDNS
	// Name is the label in the environment's zone; the pools are Name-blue
	// and Name-green.
	Name string `json:"name"`
	// TTL of the service's CNAME.
	TTL Duration `json:"ttl"`
}

// SwitchDNS flips a CNAME in the environment's zone.
const SwitchDNS = "dns"

func (s *Switch) form() form {
	return form{attrs: []attr{
		text("name", &s.Name, serviceRule()),
		seconds("ttl", &s.TTL),
	}}
}

func (s *Switch) settle(e Environment, at scope) {
	if e.Zone == nil {
		at.wrong("switch", "No zone", "Services are switched in DNS, but environment %q has no zone. Add one, such as: zone \"apps.test\" { name_servers = [\"ns1.apps.test\"] }", e.Name)
	}
}

// labels are all names in the zone that the service takes.
func (s *Switch) labels() []string {
	return []string{s.Name, s.Name + "-" + Blue, s.Name + "-" + Green}
}

// checkNames finds names in the zone that two services would answer to, or a
// service and a name server.
func checkNames(all []compiled, e Environment) {
	if e.Zone == nil {
		return
	}
	taken := make(map[string]string) // label → by whom
	for _, host := range e.Zone.NameServers {
		if label, inside := strings.CutSuffix(host, "."+e.Zone.Name); inside {
			taken[label] = "a name server of the zone"
		}
	}
	for i := range all {
		at := scope{c: all[i].compiler}
		for _, label := range all[i].Switch.labels() {
			if by, ok := taken[label]; ok {
				at.wrong("switch.name", "DNS name taken", "Service %q would take the name %q, which is that of %s. Give one of the two another name in its switch block.",
					all[i].Name, label+"."+e.Zone.Name, by)
				break
			}
			taken[label] = fmt.Sprintf("service %q (%s)", all[i].Name, place(at.where("switch.name")))
		}
	}
}
