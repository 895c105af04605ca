package rollout_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	"switchd/gate"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// world is a small model of everything that a plan acts on, with faults of
// its own making. Its invariants are the promises.
type world struct {
	spec    spec.Service
	now     time.Time
	record  *rollout.Record
	live    *pools.Live
	pools   map[string]pools.Pool
	dead    map[string]bool // nodes that Consul holds for dead
	reports map[string]rollout.Report
	gates   map[rollout.JobKind]gate.Outcome
	// lookouts are what the gates see that look at the world, by name.
	lookouts map[string]gate.Outcome
	consents map[string]rollout.Consent // by person and gate, as in Consul
	bypasses []rollout.Bypass
	// planned is when the last plan was made, and saw its jobs: what a gate says
	// later does not count for it.
	planned time.Time
	saw     []rollout.Job
	jobs    []rollout.Job
	// witnesses are what answers for the service's name, each by when it took
	// up the short TTL; zero: it still gives the long one. Those that are slow
	// follow the live record when they are told to.
	witnesses []time.Time
	slow      bool
	proved    map[rollout.Job]bool // looks at the witnesses that have passed
	// switches counts the changes of the live pool by rollout that were not
	// rollbacks.
	switches map[string]int
	wake     time.Time
	racing   bool
}

// breakNode makes a node fail, or recover.
func (w *world) breakNode(t *rapid.T) {
	colour := rapid.SampledFrom([]string{spec.Blue, spec.Green}).Draw(t, "colour")
	in := &w.pools[colour][rapid.IntRange(0, len(w.pools[colour])-1).Draw(t, "node")]
	in.Passing = !in.Passing
	w.dead[in.Node] = !in.Passing && rapid.Bool().Draw(t, "dead")
}

func newWorld(t *rapid.T) *world {
	w := &world{
		now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), pools: map[string]pools.Pool{}, dead: map[string]bool{},
		reports: map[string]rollout.Report{}, gates: map[rollout.JobKind]gate.Outcome{}, switches: map[string]int{},
		witnesses: make([]time.Time, rapid.IntRange(1, 3).Draw(t, "witnesses")), proved: map[rollout.Job]bool{},
		lookouts: map[string]gate.Outcome{}, consents: map[string]rollout.Consent{},
	}
	nodes := rapid.IntRange(1, 4).Draw(t, "nodes")
	w.spec = spec.Service{
		Name: "web", Port: 80,
		Roll: spec.Roll{Quorum: spec.Nodes(rapid.IntRange(1, nodes).Draw(t, "quorum")), MaxUnavailable: spec.Nodes(1)},
		Switch: spec.Switch{
			Kind: spec.SwitchDNS, Name: "web", ArmedTTL: spec.Duration(5 * time.Second),
			TTL: spec.Duration(time.Duration(rapid.SampledFrom([]int{5, 30}).Draw(t, "ttl")) * time.Second),
		},
		Weights:   rapid.SampledFrom([][]int{nil, {5}, {5, 25}}).Draw(t, "weights"),
		Bake:      spec.Duration(time.Minute),
		AfterBake: rapid.SampledFrom([]string{spec.AfterBakeKeep, spec.AfterBakeUpgrade}).Draw(t, "after_bake"),
		Deadlines: map[string]spec.Deadline{},
	}
	if rapid.Bool().Draw(t, "has smoke") {
		w.spec.Smoke = []spec.Smoke{{Name: "s"}}
	}
	if rapid.Bool().Draw(t, "has warmup") {
		w.spec.Warmup = &spec.Warmup{}
	}
	if rapid.Bool().Draw(t, "has analysis") {
		w.spec.Analysis = &spec.Analysis{}
	}
	w.drawGates(t)
	for _, phase := range spec.Phases() {
		then := rapid.SampledFrom([]string{spec.ThenHalt, spec.ThenRollback}).Draw(t, "then "+phase)
		if phase == "draining" {
			then = rapid.SampledFrom([]string{spec.ThenHalt, spec.ThenRollback, spec.ThenContinue}).Draw(t, "then draining")
		}
		w.spec.Deadlines[phase] = spec.Deadline{After: spec.Duration(10 * time.Minute), Then: then}
	}
	for _, colour := range []string{spec.Blue, spec.Green} {
		for i := range nodes {
			w.pools[colour] = append(w.pools[colour], pools.Instance{Node: fmt.Sprintf("%s%d", colour, i), Version: "v0", Passing: true})
		}
	}
	if rapid.Bool().Draw(t, "has live") {
		w.live = (*pools.Live)(nil).Next("test", w.now)
		w.live.Service, w.live.Pool, w.live.Version = "web", spec.Blue, "v0"
	}
	return w
}

func (w *world) situation() rollout.Situation {
	s := rollout.Situation{
		Spec: w.spec, Record: w.record, Live: w.live, Released: true, Pools: map[string]pools.Pool{},
		Members: map[string][]rollout.Member{}, Reports: w.reports, Jobs: map[rollout.Job]gate.Verdict{},
		Bypasses: w.bypasses,
	}
	for _, c := range w.consents {
		s.Consents = append(s.Consents, c)
	}
	for colour, pool := range w.pools {
		s.Pools[colour] = slices.Clone(pool)
		for _, in := range pool {
			s.Members[colour] = append(s.Members[colour], rollout.Member{Node: in.Node, Alive: !w.dead[in.Node]})
		}
	}
	for _, job := range w.jobs {
		verdict := gate.Verdict{Outcome: w.gates[job.Kind], Why: "drawn"}
		if job.Kind == rollout.JobArmed {
			verdict = w.armed()
			w.proved[job] = w.proved[job] || verdict.Outcome == gate.Pass
		}
		if job.Kind == rollout.JobGate {
			verdict.Outcome = w.lookouts[job.Gate]
		}
		s.Jobs[job] = verdict
	}
	for job, passed := range w.proved { // a verdict outlasts its job
		if passed {
			s.Jobs[job] = gate.Verdict{Outcome: gate.Pass, Why: "drawn"}
		}
	}
	return s
}

// armed looks at the witnesses.
func (w *world) armed() gate.Verdict {
	for i, since := range w.witnesses {
		if since.IsZero() {
			return gate.Verdict{Why: fmt.Sprintf("ns%d still gives the long TTL", i)}
		}
	}
	return gate.Verdict{Outcome: gate.Pass, Why: "drawn"}
}

// hear has witnesses take up the TTL of the live record: the long one at once,
// which is the worst, the short one in their time.
func (w *world) hear(follows func() bool) {
	for i, since := range w.witnesses {
		switch {
		case !w.live.Armed:
			w.witnesses[i] = time.Time{}
		case since.IsZero() && follows():
			w.witnesses[i] = w.now
		}
	}
}

// write makes a live record the present one.
func (w *world) write(live *pools.Live) {
	var index uint64
	if w.live != nil {
		index = w.live.Index
	}
	w.live = live
	w.live.Index = index + 1
	w.hear(func() bool { return !w.slow })
}

// disarm is an edit by hand.
func (w *world) disarm() {
	live := *w.live
	live.Armed = false
	w.write(&live)
}

// commit checks a change against the promises and applies it.
func (w *world) commit(t *rapid.T, change *rollout.Change) {
	// Between the look and the write, anything may happen to a node.
	if w.racing && rapid.IntRange(0, 3).Draw(t, "race") == 0 {
		w.breakNode(t)
	}
	if w.racing { // a write takes its time
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "latency")) * time.Second)
	}
	if change.Ready != nil && change.Ready(w.pools) != nil {
		return // refused at the write
	}
	former := w.record
	if r := change.Record; r != nil {
		if former != nil && former.ID == r.ID && former.Phase.Ended() {
			t.Fatalf("an ended rollout went on: %s → %s", former.Phase, r.Phase)
		}
		w.record = r
		w.checkWait(t)
		w.checkGates(t, former, change.Live)
	}
	if change.Live == nil {
		w.checkArmed(t)
		return
	}
	next, was := change.Live, w.live
	if err := next.Validate(); err != nil {
		t.Fatalf("invalid live record: %v", err)
	}
	if r := change.Record; r != nil && was != nil && was.Armed && !next.Armed && !r.Phase.Ended() && r.Phase != rollout.Converging {
		t.Fatalf("the TTL became long in phase %s", r.Phase)
	}
	defer w.checkArmed(t)
	if was != nil && next.Generation != was.Generation+1 {
		// To arm and to disarm changes nothing else, and is no new generation.
		same := *next
		same.Armed = was.Armed
		if !reflect.DeepEqual(&same, was) || next.Armed == was.Armed {
			t.Fatalf("the live record went from %+v to %+v", was, next)
		}
		w.write(next)
		return
	}
	for _, colour := range []string{spec.Blue, spec.Green} {
		// Never empty: no pool gets more users than it had unless it holds
		// its quorum. Users that go back to the pool which is live anyway
		// are not led there, they are left there.
		if next.Share(colour) > was.Share(colour) && colour != was.Side().Pool {
			if n := w.pools[colour].Passing(""); n < w.spec.Roll.Quorum.N {
				t.Fatalf("%s got a share of %d %% with %d passing nodes, quorum %d (phase %s)", colour, next.Share(colour), n, w.spec.Roll.Quorum.N, w.record.Phase)
			}
		}
	}
	if was != nil && !next.RolledBack && next.Share(spec.Other(was.Pool)) > was.Share(spec.Other(was.Pool)) {
		// Caches that still hold the long TTL would not follow, nor come back.
		for i, since := range w.witnesses {
			if settled := since.Add(w.spec.Switch.TTL.Std() + time.Second); since.IsZero() || w.now.Before(settled) {
				t.Fatalf("users were led elsewhere at %s; ns%d gave the short TTL from %s on", w.now, i, since)
			}
		}
	}
	if next.Pool != was.Side().Pool && !next.RolledBack {
		w.switches[w.record.ID]++
		if w.switches[w.record.ID] > 1 {
			t.Fatalf("rollout %s switched twice", w.record.ID)
		}
	}
	if former != nil && former.Phase == rollout.Halted && change.Record.Phase == rollout.Halted && next.Pool != was.Side().Pool {
		t.Fatal("a halted rollout switched")
	}
	w.write(next)
}

// checkArmed holds the TTL to being long again when nothing is under way any
// more.
func (w *world) checkArmed(t *rapid.T) {
	if r := w.record; w.live != nil && w.live.Armed && (r == nil || r.Phase.Ended() || r.Phase == rollout.Converging) {
		t.Fatalf("armed, and nothing is under way that needs it: %+v", w.live)
	}
}

// checkWait holds the record to "no silent wait": a phase that can wait has a
// deadline, and what is waited for has a reason and an end.
func (w *world) checkWait(t *rapid.T) {
	r := w.record
	waits := !r.Phase.Ended() && r.Phase != rollout.Halted
	if waits && r.Phase != rollout.Baking && r.Deadline.IsZero() && !w.awaitsWindows() {
		t.Fatalf("phase %s has no deadline", r.Phase)
	}
	if r.Held != nil && (!waits || len(r.Waiting()) == 0) {
		t.Fatalf("held at %s in phase %s by no gate: %+v", r.Held.Point, r.Phase, r.Gates)
	}
	if waits && !r.Deadline.IsZero() && r.Then == "" {
		t.Fatalf("phase %s does not say what happens at its deadline", r.Phase)
	}
	if r.Wait != nil && (r.Wait.For == "" || r.Wait.Until.IsZero() || r.Wait.Then == "" || r.Wait.Since.IsZero()) {
		t.Fatalf("incomplete wait: %+v", *r.Wait)
	}
	if r.Phase == rollout.Halted && (r.Halt == nil || r.Halt.Why == "") {
		t.Fatal("halted without a reason")
	}
	if r.Phase.Ended() && r.Outcome == "" {
		t.Fatalf("%s without a reason", r.Phase)
	}
}

// plan runs the planner until it has nothing more to write.
func (w *world) plan(t *rapid.T) {
	const most = 50
	for range most {
		before := w.record
		w.planned, w.saw = w.now, slices.Clone(w.jobs)
		d := rollout.Plan(w.situation(), w.now)
		w.jobs, w.wake = d.Jobs, d.Wake
		if d.Change == nil {
			w.checkRest(t)
			return
		}
		w.commit(t, d.Change)
		if w.record == before {
			return // refused at the write, to be planned again later
		}
	}
	t.Fatalf("the planner did not come to rest: %+v", w.record)
}

// checkRest holds what stands still to having said why.
func (w *world) checkRest(t *rapid.T) {
	// What somebody disarmed by hand is armed again unless there is something
	// more urgent.
	if r := w.record; r != nil && (r.Phase == rollout.Draining || r.Phase == rollout.Baking) && r.Below.IsZero() && !w.live.Armed {
		t.Fatalf("the TTL is long in phase %s, and a rollback would be slow", r.Phase)
	}
	if r := w.record; r != nil && !r.Phase.Ended() && r.Phase != rollout.Halted && r.Wait == nil {
		t.Fatalf("phase %s waits in silence", r.Phase)
	}
	checkReason(t, w.record)
}

// agents rolls nodes as agents would: one at a time, by the quorum.
func (w *world) agents(t *rapid.T) {
	for _, colour := range []string{spec.Blue, spec.Green} {
		for i := range w.pools[colour] {
			in := &w.pools[colour][i]
			if w.dead[in.Node] {
				continue
			}
			if w.record.Stages(colour) {
				w.reports[in.Node] = rollout.Report{Rollout: w.record.ID, State: rollout.Staged}
			}
			if w.record.RollsOn(colour) && in.Version != w.record.Version {
				if rapid.IntRange(0, 19).Draw(t, "breaks") == 0 {
					w.reports[in.Node] = rollout.Report{Rollout: w.record.ID, State: rollout.Broken, Why: "drawn"}
					continue
				}
				in.Version, in.Passing = w.record.Version, true
			}
		}
	}
}

// size is what a record takes in Consul.
func size(t *rapid.T, r *rollout.Record) int {
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return len(text)
}
