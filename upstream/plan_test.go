package upstream_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/upstream"
)

// prod is a model of an environment that follows another one. Whatever the plan
// says happens, in an order and with outcomes that are drawn.
type prod struct {
	now      time.Time
	limit    int
	services map[string]*upstream.Service
	begun    map[string]int // by service and version
	failing  map[string]bool
	n        int
}

func newProd(t *rapid.T) *prod {
	p := &prod{now: noon, limit: rapid.IntRange(1, 3).Draw(t, "limit"), services: map[string]*upstream.Service{}, begun: map[string]int{}, failing: map[string]bool{}}
	all := names(rapid.IntRange(1, 7).Draw(t, "services"))
	for i, name := range all {
		s := &upstream.Service{Name: name, Eligible: rollout.Eligibility{Upstream: "staging", Service: name, For: spec.Duration(time.Hour)}}
		if i > 0 {
			s.DependsOn = rapid.SliceOfNDistinct(rapid.SampledFrom(all[:i]), 0, 2, rapid.ID).Draw(t, "depends")
		}
		p.services[name] = s
		p.failing[name] = rapid.IntRange(0, 5).Draw(t, "fails") == 0
		if rapid.IntRange(0, 3).Draw(t, "proven") > 0 {
			p.prove(s, "2.0.0")
		}
	}
	return p
}

// prove has a version be done elsewhere, and its release here.
func (p *prod) prove(s *upstream.Service, version string) {
	s.Eligible.Version, s.Eligible.Done, s.Eligible.Seen = version, p.now.Add(-2*time.Hour), p.now
	s.Eligible.Release, s.Eligible.Rollout = "digest", "there"
}

func (p *prod) list() []upstream.Service {
	var list []upstream.Service
	for _, s := range p.services {
		list = append(list, *s)
	}
	return list
}

func (p *prod) busy() int {
	n := 0
	for _, s := range p.services {
		if r := s.Here.Record; r != nil && !r.Phase.Ended() && r.Phase != rollout.Halted {
			n++
		}
	}
	return n
}

// begin does what the plan says, and holds it to its promises.
func (p *prod) begin(t *rapid.T) int {
	d := upstream.Plan(p.list(), true, p.limit, p.now)
	for _, name := range d.Begin {
		s := p.services[name]
		version := s.Eligible.Version
		if p.begun[name+version]++; p.begun[name+version] > 1 {
			t.Fatalf("%s %s was begun twice", name, version)
		}
		if !s.Eligible.Eligible(version) {
			t.Fatalf("%s %s is not eligible: %s", name, version, s.Eligible.Lacks(version, p.now))
		}
		if s.Here.Live != nil && s.Here.Live.Version == version {
			t.Fatalf("%s %s is live", name, version)
		}
		for _, needs := range s.DependsOn {
			d := p.services[needs]
			if d.Here.Live == nil || d.Here.Record != nil && !d.Here.Record.Phase.Ended() {
				t.Fatalf("%s was begun before %s, which it needs", name, needs)
			}
			if d.Eligible.Proven() && d.Here.Live.Version != d.Eligible.Version {
				t.Fatalf("%s was begun on an old %s", name, needs)
			}
		}
		if d.Waits[name] != "" {
			t.Fatalf("%s begins and waits: %s", name, d.Waits[name])
		}
	}
	for _, name := range d.Begin {
		p.n++
		s := p.services[name]
		s.Here.Record = &rollout.Record{ID: string(rune('A' + p.n)), Service: name, Version: s.Eligible.Version, Phase: rollout.Staging, At: p.now}
	}
	if len(d.Begin) > 0 && p.busy() > p.limit {
		t.Fatalf("%d at once, the limit is %d", p.busy(), p.limit)
	}
	return len(d.Begin)
}

// end ends one of the rollouts under way.
func (p *prod) end(t *rapid.T) bool {
	var running []string
	for name, s := range p.services {
		if r := s.Here.Record; r != nil && !r.Phase.Ended() {
			running = append(running, name)
		}
	}
	if len(running) == 0 {
		return false
	}
	slices.Sort(running)
	name := rapid.SampledFrom(running).Draw(t, "ends")
	s := p.services[name]
	r := *s.Here.Record
	if s.Here.Record = &r; p.failing[name] {
		r.Phase, r.Outcome = rapid.SampledFrom([]rollout.Phase{rollout.Failed, rollout.RolledBack}).Draw(t, "outcome"), "drawn"
		return true
	}
	r.Phase = rollout.Done
	s.Here.Live = &pools.Live{Service: name, Version: r.Version, At: p.now}
	return true
}

// reachable tells whether a service can come to its version: nothing that it
// needs is missing or fails.
func (p *prod) reachable(name string) bool {
	s := p.services[name]
	for _, needs := range s.DependsOn {
		if p.failing[needs] || !p.reachable(needs) {
			return false
		}
	}
	return s.Eligible.Version != ""
}

func TestPlan_BringsANewEnvironmentToAllThatIsProvenInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := newProd(t)
		for range 100 {
			if p.begin(t)+map[bool]int{true: 1}[p.end(t)] == 0 {
				break
			}
			p.now = p.now.Add(time.Minute)
		}
		d := upstream.Plan(p.list(), true, p.limit, p.now)
		for name, s := range p.services {
			live := s.Here.Live != nil && s.Here.Live.Version == s.Eligible.Version
			switch {
			case p.reachable(name) && !p.failing[name] && !live:
				t.Fatalf("%s did not come to be live: %q", name, d.Waits[name])
			case !p.reachable(name) && s.Here.Record != nil:
				t.Fatalf("%s was begun although what it needs failed, or nothing of it was proven", name)
			case s.Eligible.Version != "" && !live && d.Waits[name] == "":
				t.Fatalf("%s waits in silence", name)
			}
		}
	})
}

func TestPlan_LooksAnewWhenTheTimeHasComeAndTrustsNothingOlder(t *testing.T) {
	t.Parallel()
	seen := noon.Add(-30 * time.Minute)
	s := upstream.Service{Name: "web", Eligible: rollout.Eligibility{
		Upstream: "staging", Service: "web", Version: "2.0.0", Rollout: "r1", Done: noon.Add(-time.Hour), Seen: seen, For: spec.Duration(time.Hour), Release: "digest",
	}}
	d := upstream.Plan([]upstream.Service{s}, true, 4, noon.Add(-time.Second))
	if len(d.Begin)+len(d.Look) > 0 || !d.Wake.Equal(noon) {
		t.Errorf("a second before: %+v", d)
	}
	d = upstream.Plan([]upstream.Service{s}, true, 4, noon)
	if len(d.Begin) > 0 || !slices.Equal(d.Look, []string{"web"}) {
		t.Errorf("on what was seen half an hour before: %+v", d)
	}
	s.Eligible.Seen = noon
	if d = upstream.Plan([]upstream.Service{s}, true, 4, noon); !slices.Equal(d.Begin, []string{"web"}) || len(d.Look) > 0 {
		t.Errorf("seen at the time: %+v", d)
	}
	if d = upstream.Plan([]upstream.Service{s}, false, 4, noon); len(d.Begin) > 0 {
		t.Errorf("without being asked to: %+v", d)
	}
}

func TestPlan_LeavesToAPersonWhatWentWrongHere(t *testing.T) {
	t.Parallel()
	proven := rollout.Eligibility{Upstream: "staging", Service: "web", Version: "2.0.0", Done: noon.Add(-time.Hour), Seen: noon, Release: "digest"}
	live := &pools.Live{Version: "1.0.0"}
	for name, c := range map[string]struct {
		here  upstream.Side
		older string
		want  string
	}{
		"it failed":                  {upstream.Side{Live: live, Record: &rollout.Record{ID: "1", Version: "2.0.0", Phase: rollout.Failed, Outcome: "too slow"}}, "", "its rollout here failed: too slow; a person may"},
		"it failed earlier":          {upstream.Side{Live: live, Record: &rollout.Record{ID: "2", Version: "1.0.1", Phase: rollout.Failed, At: noon}, Past: []*rollout.Record{{ID: "1", Version: "2.0.0", Phase: rollout.RolledBack, Outcome: "an alert"}}}, "", "was rolled back: an alert"},
		"it was done and taken back": {upstream.Side{Live: live, Record: &rollout.Record{ID: "1", Version: "2.0.0", Phase: rollout.Done}}, "", "its rollout here was done; a person may"},
		"a newer one is live":        {upstream.Side{Live: live}, "1.0.0 came after it", "1.0.0 came after it; a person may"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := upstream.Plan([]upstream.Service{{Name: "web", Here: c.here, Eligible: proven, Older: c.older}}, true, 4, noon)
			if len(d.Begin) > 0 || !strings.Contains(d.Waits["web"], c.want) {
				t.Errorf("got %+v, want it to wait: %s", d, c.want)
			}
		})
	}
}

func TestPlan_CountsOnlyWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	proven := rollout.Eligibility{Upstream: "staging", Service: "web", Version: "2.0.0", Done: noon.Add(-time.Hour), Seen: noon, Release: "digest"}
	for phase, begins := range map[rollout.Phase]bool{
		rollout.Baking: false, rollout.Queued: false, rollout.Halted: true, rollout.Converging: true, rollout.Failed: true,
	} {
		other := upstream.Service{Name: "cart", Here: upstream.Side{Record: &rollout.Record{ID: "1", Version: "1.0.0", Phase: phase}}}
		d := upstream.Plan([]upstream.Service{{Name: "web", Eligible: proven}, other}, true, 1, noon)
		if (len(d.Begin) == 1) != begins || begins == strings.Contains(d.Waits["web"], "parallel") {
			t.Errorf("while another one is %s: %+v", phase, d)
		}
	}
}
