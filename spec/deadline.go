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

// Phases that may have a deadline, in their order.
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

func (s *Service) leastTimes() []leastTime {
	times := []leastTime{{"rolling", s.Roll.MinHealthyTime.Std(), "min_healthy_time"}}
	if w := s.Warmup; w != nil {
		// In floating point, because the product may not fit.
		steady := min(float64(w.Window)*float64(w.Windows), float64(2*longest))
		times = append(times, leastTime{"warmup", w.Ramp.Std() + time.Duration(steady), "ramp + windows × window"})
	}
	if a := s.Analysis; a != nil {
		// The first look comes at once.
		looking := min(float64(a.Interval)*float64(a.Looks-1), float64(2*longest))
		times = append(times, leastTime{"canary", time.Duration(looking), "(looks - 1) × interval"})
	}
	if s.Drain.Query != "" {
		times = append(times, leastTime{"draining", s.Drain.For.Std(), "for"})
	}
	return times
}
