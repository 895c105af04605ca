package rollout

import (
	"encoding/json"
	"math"
)

// observe has the share of the users measured that the new pool really has,
// beside everything else, and takes it down.
func (p *plan) observe(share int) {
	if share == 0 || p.Spec.Drain.Query == "" {
		return
	}
	job := p.job(JobShare)
	job.Step = p.record.Step
	p.look = append(p.look, job)
	var seen Observed
	if state := p.Jobs[job].State; state == nil || json.Unmarshal(state, &seen) != nil {
		return
	}
	former := p.record.Observed
	if math.IsNaN(seen.Percent) || former != nil && !seen.At.After(former.At) {
		return
	}
	p.record.Observed, p.measured = &seen, true
}
