package dnsfeed

import (
	"errors"
	"net/netip"
	"strings"

	"switchd/dnsflip"
	"switchd/spec"
)

// publish publishes what was seen, if all of it was and is readable.
func (s *state) publish() {
	for _, what := range []string{environment, services, lives, replicas} {
		if !s.seen[what] {
			return
		}
	}
	for _, failing := range s.failing {
		if failing {
			return
		}
	}
	if s.env.Zone == nil {
		return
	}
	for _, service := range s.services {
		if s.health[service.Name] == nil {
			return // not seen yet
		}
	}
	s.complain("the new view", s.feed.Server.Publish(s.view(s.feed.Server.View())))
}

// view makes the view of all that was seen. What was lost of the live records
// is taken from the old view, which may be nil.
func (s *state) view(old *dnsflip.View) dnsflip.View {
	view := dnsflip.View{
		Zone: *s.env.Zone, Serial: max(s.serial, 1), At: s.at,
		Flips: make(map[string]dnsflip.Flip), NameServerAddrs: make(map[string][]netip.Addr),
	}
	if s.serial == 0 && old != nil {
		view.Serial = old.Serial // it never falls, also when its key was removed
	}
	for _, service := range s.services {
		view.Flips[service.Switch.Name] = s.flip(service, old)
	}
	for _, host := range s.env.Zone.NameServers {
		label, domain, _ := strings.Cut(host, ".")
		if addr, known := s.replicas[label]; known && domain == s.env.Zone.Name {
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
func (s *state) flip(service spec.Service, old *dnsflip.View) dnsflip.Flip {
	health := s.health[service.Name]
	flip := dnsflip.Flip{Service: service.Name, TTL: service.Switch.TTL, Pools: map[string][]netip.Addr{
		spec.Blue: health[spec.Blue].Addresses(""), spec.Green: health[spec.Green].Addresses(""),
	}}
	what := "live record of " + service.Name
	if live := s.lives[service.Name]; live != nil {
		s.complain(what, nil)
		flip.Live, flip.Weights = live.Pool, live.Weights
		// A live pool can have nodes of another version: one that came back, or
		// one that was upgraded before a rollback. Users are promised this one.
		flip.Pools[live.Pool] = health[live.Pool].Addresses(live.Version)
		return flip
	}
	err := s.unread[service.Name]
	if old != nil {
		if last := old.Flips[service.Switch.Name]; last.Service == service.Name && last.Live != "" {
			flip.Live, flip.Weights = last.Live, last.Weights
			if err == nil {
				err = errRecordGone
			}
		}
	}
	s.complain(what, err)
	return flip
}
