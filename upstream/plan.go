package upstream

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"switchd/rollout"
)

// Service is one service that this environment is to have from the one before
// it.
type Service struct {
	Name      string
	DependsOn []string
	Here      Side
	Eligible  rollout.Eligibility
	// Older is why the version is no newer one than what is live here (Older);
	// "": it is.
	Older string
	// Held is why it could not be begun just now; "": it was not tried.
	Held string
}

// Decision is what is to be done now.
type Decision struct {
	// Begin are the services whose rollout is to begin, by name.
	Begin []string
	// Waits are the reasons why an eligible version is not begun, by service.
	Waits map[string]string
	// Look are the services whose time has come, and that are to be read anew.
	Look []string
	// Wake is when to decide again at the latest; zero: when something changes.
	Wake time.Time
}

// Plan says which services' rollouts are to begin, so that this environment comes
// to what the one before it has proven: never more than a limit at once, never
// one before what it depends on, and none of a version that was tried here
// before. It is pure.
//
// Without promote nothing is begun, and the decision says only what is to be
// read anew.
func Plan(services []Service, promote bool, limit int, now time.Time) Decision {
	services = slices.Clone(services)
	slices.SortFunc(services, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	p := plan{services: make(map[string]*Service, len(services))}
	d := Decision{Waits: make(map[string]string)}
	busy := 0
	for i := range services {
		s := &services[i]
		p.services[s.Name] = s
		if s.underWay() {
			busy++
		}
		from := s.Eligible.From()
		switch {
		case from.IsZero() || s.Eligible.Proven():
		case now.Before(from):
			d.Wake = rollout.Earlier(d.Wake, from)
		default:
			d.Look = append(d.Look, s.Name)
		}
	}
	if !promote {
		return d
	}
	for _, s := range services {
		why, due := s.due()
		if due {
			why = cmp.Or(p.dependencies(s), s.Held)
		}
		if due && why == "" && busy >= limit {
			why = fmt.Sprintf("%d rollouts are under way, as many as may be (parallel)", busy)
		}
		switch {
		case why != "":
			d.Waits[s.Name] = why
		case due:
			d.Begin = append(d.Begin, s.Name)
			busy++
		}
	}
	return d
}

type plan struct{ services map[string]*Service }

// underWay tells whether a rollout here keeps others waiting: one that stands
// still, or only rolls the pool without users, doesn't.
func (s *Service) underWay() bool {
	r := s.Here.Record
	return r != nil && !r.Phase.Ended() && r.Phase != rollout.Halted && r.Phase != rollout.Converging
}

// idle tells whether a rollout may begin.
func (s *Service) idle() bool { return s.Here.Record == nil || s.Here.Record.Phase.Ended() }

// due tells whether the service is to go on to the version that it is eligible
// for. Why not is said only where somebody might expect it.
func (s *Service) due() (why string, due bool) {
	e := &s.Eligible
	switch {
	case e.Version == "" || s.Here.Live != nil && s.Here.Live.Version == e.Version:
		return "", false
	case !s.idle() || !e.Proven():
		return "", false // which is said elsewhere
	}
	if r := s.tried(); r != nil {
		return fmt.Sprintf("its rollout here %s; a person may promote it again", words(r)), false
	}
	if s.Older != "" {
		return s.Older + "; a person may promote it", false
	}
	return "", e.Eligible(e.Version)
}

// tried is the last rollout here of the version, nil if there was none.
func (s *Service) tried() *rollout.Record {
	all := s.Here.all()
	if i := last(all, s.Eligible.Version); i >= 0 {
		return all[i]
	}
	return nil
}

// dependencies says which of the services that it needs has to come first.
func (p plan) dependencies(s Service) string {
	for _, name := range slices.Sorted(slices.Values(s.DependsOn)) {
		d := p.services[name]
		if d == nil {
			continue // not declared here: nobody could wait for it
		}
		r := d.Here.Record
		_, due := d.due()
		switch {
		case !d.idle() && r.Phase != rollout.Converging:
			return fmt.Sprintf("%s %s is under way (%s)", name, r.Version, r.Phase)
		case due:
			return fmt.Sprintf("%s %s goes first", name, d.Eligible.Version)
		case d.Here.Live == nil:
			return fmt.Sprintf("nothing of %s is live here yet", name)
		case d.Here.Live.Version == d.Eligible.Version || !d.Eligible.Proven() || d.Older != "":
		case d.tried() != nil:
			return fmt.Sprintf("%s %s %s here", name, d.Eligible.Version, words(d.tried()))
		default:
			return fmt.Sprintf("%s %s goes first, and its release is not here yet", name, d.Eligible.Version)
		}
	}
	return ""
}
