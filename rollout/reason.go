package rollout

import "strings"

// WaitReason is what kind of thing a rollout waits for.
type WaitReason string

// The reasons of waits. There are no others: metrics and alerts count on it.
const (
	WaitsQueue    WaitReason = "queue" // what the service depends on
	WaitsStage    WaitReason = "stage" // nodes that fetch the version
	WaitsRoll     WaitReason = "roll"  // nodes that are replaced
	WaitsSmoke    WaitReason = "smoke"
	WaitsWarmup   WaitReason = "warmup"
	WaitsAnalysis WaitReason = "analysis"
	WaitsApproval WaitReason = "approval"
	WaitsWait     WaitReason = "wait" // something outside
	WaitsWindow   WaitReason = "window"
	WaitsSilence  WaitReason = "silence" // alerts that fire
	WaitsHealth   WaitReason = "health"  // a pool below its quorum
	WaitsTTL      WaitReason = "ttl"     // caches that hold former answers
	WaitsProof    WaitReason = "proof"
	WaitsDrain    WaitReason = "drain"
	WaitsBake     WaitReason = "bake"
	WaitsPerson   WaitReason = "person" // a halted rollout
)

// WaitReasons are all reasons, in the order in which a rollout comes to them.
func WaitReasons() []WaitReason {
	return []WaitReason{
		WaitsQueue, WaitsStage, WaitsRoll, WaitsSmoke, WaitsWarmup, WaitsAnalysis, WaitsApproval, WaitsWait, WaitsWindow,
		WaitsSilence, WaitsHealth, WaitsTTL, WaitsProof, WaitsDrain, WaitsBake, WaitsPerson,
	}
}

// WaitReason is what the rollout waits for now, "" if for nothing.
func (r *Record) WaitReason() WaitReason {
	switch {
	case r == nil || r.Phase.Ended():
		return ""
	case r.Phase == Halted:
		return WaitsPerson
	case r.Wait == nil:
		return ""
	}
	if strings.HasPrefix(r.Wait.For, "for the pool that users are on: ") {
		return WaitsHealth
	}
	if strings.HasPrefix(r.Wait.For, "for caches to forget ") {
		return WaitsTTL
	}
	if open := r.Waiting(); len(open) > 0 {
		return WaitReason(open[0].Kind)
	}
	if reason, only := map[Phase]WaitReason{
		Queued: WaitsQueue, Staging: WaitsStage, Rolling: WaitsRoll, Converging: WaitsRoll, Smoke: WaitsSmoke,
		Warmup: WaitsWarmup, Draining: WaitsDrain, Baking: WaitsBake,
	}[r.Phase]; only {
		return reason
	}
	// The canary and the switch wait for several things, one after the other.
	switch {
	case strings.HasPrefix(r.Wait.For, "for the new pool: "):
		return WaitsHealth
	case r.Phase == Switching && !r.SwitchedAt.IsZero():
		return WaitsProof
	case strings.HasPrefix(r.Wait.For, "for the analysis "):
		return WaitsAnalysis
	default:
		return WaitsTTL
	}
}
