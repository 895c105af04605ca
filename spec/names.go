package spec

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"switchd/zone"
)

// labels are all names in the zone that the service takes.
func (s *Service) labels() []string {
	pool := s.Switch.PoolName(s.Name)
	return []string{s.Switch.Name, pool + "-" + Blue, pool + "-" + Green}
}

// fqdn is a label in a zone.
func fqdn(label, zone string) string { return Switch{Name: label}.FQDN(zone) }

// checkNames finds names that two services would answer to, or a service and a
// name server or a record of the zone file, which may be nil.
func checkNames(all []compiled, e Environment, file *zone.Zone) {
	taken := make(map[string]string) // name → by whom
	if e.Zone != nil {
		for _, host := range e.Zone.NameServers {
			if strings.HasSuffix(host, "."+e.Zone.Name) {
				taken[host] = "a name server of the zone"
			}
		}
	}
	for _, one := range all {
		s, at := &one.Service, scope{c: one.compiler}
		for i, name := range s.names(e) {
			if by, ok := taken[name]; ok {
				at.wrong("switch.name", "DNS name taken", "Service %q would take the name %q, which is that of %s. Give one of the two another name in its switch block.",
					s.Name, name, by)
				break
			}
			taken[name] = fmt.Sprintf("service %q (%s)", s.Name, place(at.where("switch.name")))
			if file == nil || s.Switch.Kind != SwitchDNS {
				continue
			}
			if found := clash(file, name, i > 0); found != "" {
				at.wrong("switch.name", "DNS name in the zone file", "Service %q (%s) would take the name %q, but %s. Give the service another name in its switch block, or take the record out of the zone file.",
					s.Name, place(at.where("switch.name")), name, found)
				break
			}
		}
	}
}

// names are the whole names that a service takes, those of its pools last.
func (s *Service) names(e Environment) []string {
	switch {
	case !s.Switch.Named():
		return nil
	case s.Switch.Kind == SwitchDNSUpdate:
		return []string{s.Switch.FQDN(s.Switch.Zone)}
	case e.Zone == nil:
		return nil // there is an error already
	}
	var names []string
	for _, label := range s.labels() {
		names = append(names, fqdn(label, e.Zone.Name))
	}
	return names
}

// clash says what of the zone file is in the way of a flipped name or a pool's
// name, and where; empty for nothing. A pool also has the names below its own,
// which are those of its nodes.
func clash(file *zone.Zone, host string, pool bool) string {
	name, err := zone.ParseName(host)
	if err != nil {
		return fmt.Sprintf("that is no name: %v", err)
	}
	n := file.Node([]byte(name))
	if name == file.Origin() {
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS} {
			if n.Set(kind) != nil {
				return fmt.Sprintf("the zone file has %s records of it (%s)", dns.TypeToString[kind], file.Place(name))
			}
		}
		return ""
	}
	switch {
	case n == nil: // neither it nor anything below it
	case len(n.Sets) > 0:
		return fmt.Sprintf("the zone file has records of it (%s)", file.Place(name))
	case pool:
		for below := range file.Nodes() {
			if len(below.Sets) > 0 && below.Name.Under(name) {
				return fmt.Sprintf("the zone file has records of %s (%s), and names below a pool's are those of its nodes", plain(below.Name.String()), file.Place(below.Name))
			}
		}
	}
	if file.Node([]byte(file.Origin())).Set(dns.TypeDNAME) != nil {
		return fmt.Sprintf("the zone file leads everything below the zone elsewhere by a DNAME (%s)", file.Place(file.Origin()))
	}
	return ""
}
