package dnsfeed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"switchd/dnsflip"
	"switchd/ledger"
	"switchd/pools"
	"switchd/spec"
	"switchd/zone"
)

// wanted is the record of names as the desired state and the replicas say it
// should be, nil for an environment without a zone. It is not known before they
// were seen.
func (s *state) wanted() (names *ledger.Names, known bool) {
	if !s.seen[environment] || !s.seen[services] || !s.seen[replicas] {
		return nil, false
	}
	if s.env.Zone == nil {
		return nil, true
	}
	return s.names.Next(*s.env.Zone, s.services, s.replicas), true
}

// current is what the names of the zone are: as recorded or, until somebody has
// recorded them, as they should be.
func (s *state) current() *ledger.Names {
	if s.names != nil {
		return s.names
	}
	names, _ := s.wanted()
	return names
}

// nodes are those that answer for a service: as recorded or, until somebody has
// recorded them, as health says. Nil: neither is known.
func (s *state) nodes(service string) *pools.Answering {
	if recorded := s.answering[service]; recorded != nil {
		return recorded
	}
	if health := s.health[service]; health != nil {
		return (*pools.Answering)(nil).Next(health)
	}
	return nil
}

// publish publishes what was seen, if all of it was and is readable.
func (s *state) publish(ctx context.Context) {
	names := s.current()
	if !s.seen[lives] || s.failing[lives] || names == nil {
		return
	}
	for service := range names.Services {
		if s.nodes(service) == nil {
			return // not seen yet
		}
	}
	old := s.feed.Server.View()
	text, err := s.zoneFile(ctx, names.Zone, old)
	s.complain(zoneFile, err)
	if ctx.Err() != nil {
		return
	}
	view := s.view(names, old)
	view.ZoneFile = text
	if err != nil {
		// Flips go on in the zone as it was: a file that can't be read must not
		// hold up a rollback.
		if old == nil || old.Zone.Name != view.Zone.Name {
			return
		}
		view.Zone, view.ZoneFile = old.Zone, old.ZoneFile
	}
	err = s.feed.Server.Publish(view)
	if _, clash := errors.AsType[*zone.Clash](err); clash && old != nil && old.Zone.Name == view.Zone.Name {
		view.Zone, view.ZoneFile = old.Zone, old.ZoneFile
		if s.feed.Server.Publish(view) == nil {
			err = fmt.Errorf("the zone stays as it was: %w", err)
		}
	}
	s.complain("the new view", err)
}

// zoneFile is the text of the zone's file, nil if it has none. It is read when
// it is another one than that of the old view.
func (s *state) zoneFile(ctx context.Context, of spec.Zone, old *dnsflip.View) ([]byte, error) {
	switch {
	case of.File == nil:
		return nil, nil
	case old != nil && old.ZoneFile != nil && old.Zone.File != nil && old.Zone.File.SHA256 == of.File.SHA256:
		return old.ZoneFile, nil
	default:
		return s.feed.ledger().ZoneFile(ctx, *of.File)
	}
}

// view makes the view of all that was seen. What was lost of the live records
// is taken from the old view, which may be nil.
func (s *state) view(names *ledger.Names, old *dnsflip.View) dnsflip.View {
	view := dnsflip.View{
		Zone: names.Zone, Serial: max(s.serial, 1), At: s.at,
		Flips: make(map[string]dnsflip.Flip), NameServerAddrs: make(map[string][]netip.Addr),
	}
	if s.serial == 0 && old != nil {
		view.Serial = old.Serial // it never falls, also when its key was removed
	}
	for service, named := range names.Services {
		view.Flips[named.Switch.Name] = s.flip(service, named, old)
	}
	for _, host := range names.Zone.NameServers {
		label, domain, _ := strings.Cut(host, ".")
		if addr, known := names.Replicas[label]; known && domain == names.Zone.Name {
			view.NameServerAddrs[host] = []netip.Addr{addr}
		}
	}
	return view
}

// errRecordGone says that a service had a live record and has none. switchd
// never deletes one, so it was lost or removed by hand.
var errRecordGone = errors.New("it is gone from Consul; restore it from a backup")

// flip makes a service's flip. Without a live record that can be read it leads
// where it led before: that is no reason to send users nowhere.
func (s *state) flip(service string, named ledger.Named, old *dnsflip.View) dnsflip.Flip {
	nodes := s.nodes(service)
	flip := dnsflip.Flip{
		Service: service, TTL: named.Switch.TTL, Port: uint16(named.Port), Targets: named.Switch.Targets,
		Pools: map[string][]netip.Addr{
			spec.Blue: nodes.Pools[spec.Blue].Addresses(""), spec.Green: nodes.Pools[spec.Green].Addresses(""),
		},
		Carried: nodes.Carried,
	}
	if name := named.Switch.PoolName(service); name != named.Switch.Name {
		flip.PoolName = name
	}
	what := "live record of " + service
	if live := s.lives[service]; live != nil {
		s.complain(what, nil)
		flip.Live, flip.Weights, flip.TTL = live.Pool, live.Weights, named.Switch.InForce(live.Armed)
		// A live pool can have nodes of another version: one that came back, or
		// one that was upgraded before a rollback. Users are promised this one.
		flip.Pools[live.Pool] = nodes.Pools[live.Pool].Addresses(live.Version)
		return flip
	}
	err := s.unread[service]
	if old != nil {
		if last := old.Flips[named.Switch.Name]; last.Service == service && last.Live != "" {
			flip.Live, flip.Weights = last.Live, last.Weights
			if err == nil {
				err = errRecordGone
			}
		}
	}
	s.complain(what, err)
	return flip
}
