package rollout_test

import (
	"errors"
	"slices"
	"time"

	"pgregory.net/rapid"

	"switchd/gate"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// drawGates declares gates of all kinds at some points.
func (w *world) drawGates(t *rapid.T) {
	hold := func(name string) spec.Hold {
		return spec.Hold{
			At:       rapid.SampledFrom([][]string{{spec.PointSwitch}, {spec.PointRoll}, {spec.PointWeight}, {spec.PointSwitched}, spec.Points()}).Draw(t, name+" at"),
			Deadline: spec.Deadline{After: spec.Duration(20 * time.Minute), Then: rapid.SampledFrom([]string{spec.ThenHalt, spec.ThenRollback}).Draw(t, name+" then")},
		}
	}
	has := func(name string) bool { return rapid.IntRange(0, 3).Draw(t, "has "+name) == 0 }
	if has("owner") {
		w.spec.Approvals = []spec.Approval{{
			Hold: hold("owner"), Name: "owner", MinApprovers: rapid.IntRange(1, 2).Draw(t, "approvers"),
			Approvers: rapid.SampledFrom([][]string{nil, {"a", "b"}}).Draw(t, "who may"),
			Expires:   rapid.SampledFrom([]spec.Duration{0, spec.Duration(15 * time.Minute)}).Draw(t, "expires"),
		}}
	}
	if has("migration") {
		w.spec.Waits = []spec.WaitFor{{Hold: hold("migration"), Name: "migration", Key: "k"}}
	}
	if has("hours") {
		w.spec.Windows = []spec.Window{{Hold: spec.Hold{At: hold("hours").At}, Name: "hours", From: "00:00", To: "01:00", TimeZone: "UTC"}}
	}
	if has("quiet") {
		w.spec.Silences = []spec.Silence{{Hold: hold("quiet"), Name: "quiet", Match: []string{"a=b"}}}
	}
}

// consent has somebody say yes, or rarely no.
func (w *world) consent(t *rapid.T) {
	c := rollout.Consent{Who: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "who"), Deny: rapid.IntRange(0, 9).Draw(t, "deny") == 0}
	c, _, err := rollout.Approve(w.situation(), c, w.now)
	if err == nil {
		w.consents[c.Who+"/"+c.Gate] = c
		return
	}
	var refused *rollout.Refusal
	if !errors.As(err, &refused) || refused.Text == "" {
		t.Fatalf("refused without a reason: %v", err)
	}
}

// bypass has somebody go around a gate, rarely.
func (w *world) bypass(t *rapid.T) {
	name := rapid.SampledFrom([]string{"owner", "migration", "hours", "quiet", "smoke", "warmup", "analysis"}).Draw(t, "gate")
	if rapid.IntRange(0, 2).Draw(t, "really") > 0 {
		return
	}
	around, err := rollout.GoAround(w.situation(), rollout.Bypass{Gate: name, Who: "a", By: "a", Why: "drawn", At: w.now})
	if err == nil {
		w.bypasses = append(w.bypasses, around...)
	}
}

// holds tells whether a gate did hold when the last plan was made.
func (w *world) holds(g spec.Gate) bool {
	if slices.ContainsFunc(w.bypasses, func(b rollout.Bypass) bool { return b.Rollout == w.record.ID && b.Gate == g.Name }) {
		return true
	}
	switch g.Kind {
	case spec.GateApproval:
		given := 0
		for _, c := range w.consents {
			if c.Rollout != w.record.ID || c.Gate != g.Name || g.Approval.Approvers != nil && !slices.Contains(g.Approval.Approvers, c.Who) {
				continue
			}
			if c.Deny {
				return false
			}
			if g.Approval.Expires == 0 || w.planned.Sub(c.At) < g.Approval.Expires.Std() {
				given++
			}
		}
		return given >= g.Approval.MinApprovers
	case spec.GateWindow:
		clock := w.planned.Format("15:04")
		return g.Window.From <= clock && clock < g.Window.To
	default:
		looked := slices.ContainsFunc(w.saw, func(j rollout.Job) bool {
			return j.Kind == rollout.JobGate && j.Gate == g.Name && j.Rollout == w.record.ID
		})
		return looked && w.lookouts[g.Name] == gate.Pass
	}
}

// checkGates holds a change to the gates of the points that it leaves behind.
func (w *world) checkGates(t *rapid.T, former *rollout.Record, live *pools.Live) {
	r := w.record
	if former == nil || former.ID != r.ID {
		return
	}
	var points []string
	switch {
	case former.Phase == rollout.Staging && r.Phase == rollout.Rolling, former.Phase == rollout.Baking && r.Phase == rollout.Converging:
		points = append(points, spec.PointRoll)
	case former.Phase == rollout.Switching && (r.Phase == rollout.Draining || r.Phase == rollout.Done):
		points = append(points, spec.PointSwitched)
	case live != nil && !live.RolledBack && live.Pool == r.Pool && w.live.Side().Pool != r.Pool:
		points = append(points, spec.PointSwitch, spec.PointWeight)
	case live != nil && !live.RolledBack && live.Share(r.Pool) > w.live.Share(r.Pool):
		points = append(points, spec.PointWeight)
	}
	for _, g := range w.spec.Gates() {
		if slices.ContainsFunc(points, func(p string) bool { return slices.Contains(g.At, p) }) && !w.holds(g) {
			t.Fatalf("%s → %s, and %s %s did not hold", former.Phase, r.Phase, g.Kind, g.Name)
		}
	}
	// What was never looked at has passed by a bypass only.
	for job, phase := range map[rollout.JobKind]rollout.Phase{rollout.JobSmoke: rollout.Smoke, rollout.JobWarmup: rollout.Warmup} {
		if former.Phase != phase || slices.Index(rollout.Phases(), r.Phase) != slices.Index(rollout.Phases(), phase)+1 {
			continue
		}
		declared := job == rollout.JobSmoke && len(w.spec.Smoke) > 0 || job == rollout.JobWarmup && w.spec.Warmup != nil
		bypassed := slices.ContainsFunc(w.bypasses, func(b rollout.Bypass) bool { return b.Rollout == r.ID && b.Gate == string(job) })
		last := rollout.GateState{}
		if n := len(r.Gates); n > 0 {
			last = r.Gates[n-1]
		}
		if declared && bypassed && (last.Name != string(job) || last.Outcome != rollout.GateBypassed || last.Why == "" || len(last.By) != 1) {
			t.Fatalf("a bypass of %s left no trace: %+v", job, last)
		}
		if declared && !bypassed && w.gates[job] != gate.Pass {
			t.Fatalf("%s was left without a pass", phase)
		}
	}
}

// awaitsWindows tells whether nothing but windows is waited for, which end by
// themselves.
func (w *world) awaitsWindows() bool {
	waiting := w.record.Waiting()
	return len(waiting) > 0 && w.record.Wait != nil && !w.record.Wait.Until.IsZero() &&
		!slices.ContainsFunc(waiting, func(g rollout.GateState) bool { return g.Kind != spec.GateWindow })
}
