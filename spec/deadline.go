package spec

import "time"

// Deadline is the longest a phase may take and what happens then.
type Deadline struct {
	After Duration `json:"after"`
	Then  string   `json:"then"` // ThenHalt, ThenRollback or ThenContinue
}

// What happens at a deadline. ThenContinue is allowed for draining only.
const (
	ThenHalt     = "halt"
	ThenRollback = "rollback"
	ThenContinue = "continue"
)

// Phases are those that may have a deadline, in their order. That of "approval" is
// what an approval has which says nothing of its own.
func Phases() []string {
	return []string{"queued", "staging", "rolling", "smoke", "warmup", "canary", "approval", "switching", "draining", "converging"}
}

func (d *Deadline) form() form {
	return form{attrs: []attr{
		span("after", &d.After, shortest),
		text("then", &d.Then, oneOf(ThenHalt, ThenRollback, ThenContinue)),
	}}
}

func (s *Service) validateDeadlines(at scope) {
	for _, phase := range Phases() {
		if s.Deadlines[phase].Then == ThenContinue && phase != "draining" {
			at.wrong("deadline."+phase+".then", "Deadline may not continue",
				"A gate that ran out of time has not passed: only draining may continue, and %s must %s or %s.", phase, ThenHalt, ThenRollback)
		}
	}
	for _, least := range s.leastTimes() {
		if after := s.Deadlines[least.phase].After; least.time > after.Std() {
			at.wrong("deadline."+least.phase+".after", "Deadline too early",
				"%s takes at least %v (%s), and its deadline is after %v: it could never end in time. Make the deadline longer.",
				least.phase, least.time, least.why, after)
		}
	}
}

// leastTime is what a phase takes at least.
type leastTime struct {
	phase string
	time  time.Duration
	why   string
}

// atMostLongest takes the time in floating point, because a product may not
// fit otherwise.
func atMostLongest(phase string, span float64, why string) leastTime {
	return leastTime{phase, time.Duration(min(span, float64(2*longest))), why}
}

func (s *Service) leastTimes() []leastTime {
	// Nodes go in turns of max_unavailable; how many there are is known here of
	// pools by name only.
	nodes := max(len(s.Pools[Blue].Nodes), len(s.Pools[Green].Nodes), 1)
	down := max(s.Roll.MaxUnavailable.AtMost(nodes), 1)
	turns := (nodes + down - 1) / down
	times := []leastTime{atMostLongest("rolling", float64(turns)*float64(s.Roll.MinHealthyTime), "nodes / max_unavailable × min_healthy_time")}
	if staggered := float64(nodes-1) * float64(s.Roll.Stagger); staggered > float64(times[0].time) {
		times[0] = atMostLongest("rolling", staggered, "(nodes - 1) × stagger")
	}
	if w := s.Warmup; w != nil {
		// In floating point, because the product may not fit.
		steady := min(float64(w.Window)*float64(w.Windows), float64(2*longest))
		times = append(times, leastTime{"warmup", w.Ramp.Std() + time.Duration(steady), "ramp + windows × window"})
	}
	if a := s.Analysis; a != nil {
		// The first look comes after one interval; before it, one TTL passes.
		steps := max(len(s.Weights), 1)
		span, why := a.least()
		looking := float64(steps) * (span + float64(s.Switch.InForce(true)))
		why = "weights × (" + why + " + switch.armed_ttl)"
		if a.settles() {
			looking += float64(a.Settle)
			why += " + settle"
		}
		times = append(times, atMostLongest("canary", looking, why))
	}
	settles := s.Switch.Settles()
	for _, earlier := range times {
		if earlier.phase != "canary" { // those have time for it
			settles -= min(settles, earlier.time)
		}
	}
	times = append(times, leastTime{s.firstMove(), settles, "switch.ttl + 1s, until no cache holds what it was told before the rollout, less what the phases before take"})
	drain := leastTime{"draining", s.LeastAfter(), "drain.least, 3 × switch.armed_ttl"}
	if s.Drain.Query != "" {
		drain = leastTime{"draining", drain.time + s.Drain.For.Std(), "drain.least, 3 × switch.armed_ttl; + for"}
	}
	return append(times, drain)
}

// firstMove is the phase whose deadline holds when users are first led
// elsewhere. While a rollout waits for gates, its phase's time stands still.
func (s *Service) firstMove() string {
	if len(s.Weights) > 0 {
		return "canary"
	}
	return "switching"
}
