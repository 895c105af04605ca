package rollout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchd/gate"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// memory is a World of one service that lives in memory. Its jobs are given.
type memory struct {
	mu      sync.Mutex
	s       rollout.Situation
	refuse  func(*rollout.Change) bool // whether a write is; nil: none
	runs    map[rollout.JobKind]int
	running map[rollout.JobKind]bool
	job     func(ctx context.Context, kind rollout.JobKind, run int) gate.Verdict
	// watch is what a gate's job does; nil: there is none. gates declares it.
	watch func(ctx context.Context, run int, report func(gate.Verdict)) gate.Verdict
	gates func(*spec.Service)
	// judge is the analysis, given what was found before; nil: there is none.
	judge func(job rollout.Job, found json.RawMessage, report func(gate.Verdict)) gate.Verdict
}

func (m *memory) Observe(context.Context, string) (rollout.Situation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.s
	if s.Live != nil {
		live := *s.Live
		s.Live = &live
	}
	return s, nil
}

func (m *memory) Commit(_ context.Context, change *rollout.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil && m.refuse(change) {
		return errors.New("somebody else was faster")
	}
	m.s.Record = change.Record
	if change.Live != nil {
		live := *change.Live
		live.Index = m.s.Live.Read() + 1
		m.s.Live = &live
	}
	return nil
}

func (m *memory) Run(ctx context.Context, job rollout.Job, s rollout.Situation, report func(gate.Verdict)) gate.Verdict {
	m.mu.Lock()
	m.runs[job.Kind]++
	run := m.runs[job.Kind]
	m.running[job.Kind] = true
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.running[job.Kind] = false
	}()
	if job.Kind == rollout.JobGate {
		return m.watch(ctx, run, report)
	}
	if job.Kind == rollout.JobAnalysis {
		return m.judge(job, s.Record.Evidence, report)
	}
	return m.job(ctx, job.Kind, run)
}

// now is what is so.
func (m *memory) now() (record *rollout.Record, live pools.Live, runs map[rollout.JobKind]int, running map[rollout.JobKind]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	runs, running = make(map[rollout.JobKind]int), make(map[rollout.JobKind]bool)
	for kind, n := range m.runs {
		runs[kind], running[kind] = n, m.running[kind]
	}
	return m.s.Record, *m.s.Live, runs, running
}

// drive has the engine drive a rollout whose nodes all run the version, until
// the test has looked.
func drive(t *testing.T, m *memory, look func(t *testing.T)) {
	t.Helper()
	m.runs, m.running = map[rollout.JobKind]int{}, map[rollout.JobKind]bool{}
	live := (*pools.Live)(nil).Next("test", time.Now())
	live.Service, live.Pool, live.Version, live.Index = "web", spec.Blue, "1", 1
	m.s = rollout.Situation{
		Spec: spec.Service{
			Name: "web", Roll: spec.Roll{Quorum: spec.Nodes(1), MaxUnavailable: spec.Nodes(1)},
			Switch: spec.Switch{Kind: spec.SwitchDNS, Name: "web", TTL: spec.Duration(time.Minute), ArmedTTL: spec.Duration(5 * time.Second)},
			Smoke:  []spec.Smoke{{Name: "s"}}, Warmup: &spec.Warmup{}, Bake: spec.Duration(time.Hour), Deadlines: map[string]spec.Deadline{},
		},
		Live: live, Released: true, Members: map[string][]rollout.Member{}, Pools: map[string]pools.Pool{},
		Reports: map[string]rollout.Report{"green": {Rollout: "r", Pool: spec.Green, State: rollout.Staged}},
	}
	if m.gates != nil {
		m.gates(&m.s.Spec)
	}
	if m.judge != nil {
		m.s.Spec.Analysis, m.s.Spec.Weights = &spec.Analysis{}, []int{5, 50}
	}
	for pool, version := range map[string]string{spec.Blue: "1", spec.Green: "2"} {
		m.s.Members[pool] = []rollout.Member{{Node: pool, Alive: true}}
		m.s.Pools[pool] = pools.Pool{{Node: pool, Version: version, Passing: true}}
	}
	for _, phase := range spec.Phases() {
		m.s.Spec.Deadlines[phase] = spec.Deadline{After: spec.Duration(time.Hour), Then: spec.ThenHalt}
	}
	change, err := rollout.Promote(m.s, "r", "2", "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m.s.Record = change.Record
	ctx, cancel := context.WithCancel(t.Context())
	var driving sync.WaitGroup
	engine := rollout.Engine{World: m, Log: slog.New(slog.DiscardHandler)}
	driving.Go(func() { engine.Drive(ctx, "web", nil) })
	look(t)
	cancel()
	driving.Wait()
}

// until ends a job that never has a verdict, and takes its time even so.
func until(ctx context.Context) gate.Verdict {
	<-ctx.Done()
	time.Sleep(time.Second)
	return gate.Undecided("ended")
}

// TestEngine_LooksAtTheArmedNameBesideTheGates: a warm-up that takes ten
// minutes isn't waited for, nor does it wait, and TTL and margin are over at its
// end.
func TestEngine_LooksAtTheArmedNameBesideTheGates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{job: func(ctx context.Context, kind rollout.JobKind, run int) gate.Verdict {
			switch kind {
			case rollout.JobArmed:
				if run < 30 {
					return gate.Failed("ns1 is behind") // which is looked at again
				}
				return gate.Passed("all give it")
			case rollout.JobWarmup:
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Minute):
				}
				return gate.Passed("warm")
			case rollout.JobDrain:
				return until(ctx)
			default:
				return gate.Passed("well")
			}
		}}
		began := time.Now()
		drive(t, m, func(t *testing.T) {
			t.Helper()
			time.Sleep(20 * time.Second)
			synctest.Wait()
			record, _, runs, running := m.now()
			if record.Phase != rollout.Warmup || !running[rollout.JobWarmup] || runs[rollout.JobArmed] < 15 || !record.Settled.IsZero() {
				t.Fatalf("%s, settled at %s; %v, %v", record.Phase, record.Settled, runs, running)
			}
			time.Sleep(20 * time.Second)
			synctest.Wait()
			record, live, runs, _ := m.now()
			if settled := record.Settled.Sub(began); record.Phase != rollout.Warmup || runs[rollout.JobArmed] != 30 || runs[rollout.JobWarmup] != 1 ||
				settled < 29*time.Second+m.s.Spec.Switch.Settles() || settled > time.Minute+40*time.Second || !live.Armed {
				t.Fatalf("%s, settled after %s; %v", record.Phase, settled, runs)
			}
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			record, live, runs, running = m.now()
			if live.Pool != spec.Green || record.SwitchedAt.Sub(began) > 10*time.Minute+2*time.Second || runs[rollout.JobArmed] != 30 || !running[rollout.JobDrain] {
				t.Fatalf("%s, %+v, switched after %s; %v", record.Phase, live, record.SwitchedAt.Sub(began), runs)
			}
		})
		if _, _, _, running := m.now(); running[rollout.JobDrain] {
			t.Error("a job outlived the drive")
		}
	})
}

// TestEngine_NotesAtOnceThatTheNameIsArmed, though nothing else has changed.
func TestEngine_NotesAtOnceThatTheNameIsArmed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const looks = 10 * time.Second
		m := &memory{job: func(ctx context.Context, kind rollout.JobKind, _ int) gate.Verdict {
			if kind != rollout.JobArmed {
				return until(ctx)
			}
			time.Sleep(looks)
			return gate.Passed("all give it")
		}}
		began := time.Now()
		drive(t, m, func(t *testing.T) {
			t.Helper()
			time.Sleep(looks + time.Second)
			synctest.Wait()
			record, _, runs, running := m.now()
			if settled := record.Settled.Sub(began); settled < looks+m.s.Spec.Switch.Settles() || runs[rollout.JobSmoke] != 1 || !running[rollout.JobSmoke] {
				t.Fatalf("%s, settled after %s; %v, %v", record.Phase, settled, runs, running)
			}
		})
	})
}

// TestEngine_StopsEveryJobThatIsNotWantedAnyMore, as after a rollback.
func TestEngine_StopsEveryJobThatIsNotWantedAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{job: func(ctx context.Context, _ rollout.JobKind, _ int) gate.Verdict { return until(ctx) }}
		drive(t, m, func(t *testing.T) {
			t.Helper()
			time.Sleep(time.Minute)
			synctest.Wait()
			if _, _, _, running := m.now(); !running[rollout.JobSmoke] || !running[rollout.JobArmed] || len(running) != 2 {
				t.Fatalf("under way: %v", running)
			}
			s, err := m.Observe(t.Context(), "web")
			if err != nil {
				t.Fatal(err)
			}
			change, err := rollout.Rollback(s, "test", "", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Commit(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if _, live, _, running := m.now(); running[rollout.JobSmoke] || running[rollout.JobArmed] || live.Armed {
				t.Fatalf("under way: %v, live %+v", running, live)
			}
		})
	})
}

// TestEngine_KeepsAVerdictWhoseChangeWasRefused: a warm-up isn't done again
// because somebody else has written the record.
func TestEngine_KeepsAVerdictWhoseChangeWasRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		m := &memory{
			job: func(context.Context, rollout.JobKind, int) gate.Verdict { return gate.Passed("well") },
			refuse: func(change *rollout.Change) bool {
				again := change.Record.Phase == rollout.Canary && refused < 3
				if again {
					refused++
				}
				return again
			},
		}
		drive(t, m, func(t *testing.T) {
			t.Helper()
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if record, _, runs, _ := m.now(); record.ProvedAt.IsZero() || refused != 3 || runs[rollout.JobWarmup] != 1 || runs[rollout.JobSmoke] != 1 {
				t.Fatalf("%s, refused %d times; %v", record.Phase, refused, runs)
			}
		})
	})
}

// TestEngine_GivesAnAnalysisWhatItFoundBefore: after a run without a verdict, at
// the next share, and whatever else is committed in between.
func TestEngine_GivesAnAnalysisWhatItFoundBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looks int
		m := &memory{job: func(context.Context, rollout.JobKind, int) gate.Verdict { return gate.Passed("well") }}
		m.judge = func(job rollout.Job, found json.RawMessage, report func(gate.Verdict)) gate.Verdict {
			if want := fmt.Sprint(looks); looks > 0 && string(found) != want {
				t.Errorf("after %s looks: found %q", want, found)
			}
			looks++
			report(gate.Verdict{Why: "seen", State: json.RawMessage(fmt.Sprint(looks))})
			time.Sleep(10 * time.Second)
			looks++ // with the same words
			report(gate.Verdict{Why: "seen", State: json.RawMessage(fmt.Sprint(looks))})
			time.Sleep(10 * time.Second)
			if record, _, _, _ := m.now(); string(record.Evidence) != fmt.Sprint(looks) {
				t.Errorf("after %d looks the record has %q", looks, record.Evidence)
			}
			looks++
			state := json.RawMessage(fmt.Sprint(looks))
			if looks < 6*(job.Step+1) {
				return gate.Verdict{Why: "seen", State: state}
			}
			return gate.Verdict{Outcome: gate.Pass, Why: "no worse", State: state}
		}
		drive(t, m, func(t *testing.T) {
			t.Helper()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if record, _, _, _ := m.now(); looks != 12 || string(record.Evidence) != "12" || record.Phase != rollout.Baking {
				t.Fatalf("%s after %d looks, with %q", record.Phase, looks, record.Evidence)
			}
		})
	})
}

// TestEngine_AGateSaysWhatIsSoNow: it is looked at until the rollout has gone on,
// also after it has passed, and again if the look ends. What it has said doesn't
// outlast the look.
func TestEngine_AGateSaysWhatIsSoNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		outcome := func(name string) rollout.GateOutcome {
			record, _, _, _ := m.now()
			for _, g := range slices.Backward(record.Gates) {
				if g.Name == name {
					return g.Outcome
				}
			}
			return ""
		}
		m.watch = func(ctx context.Context, run int, report func(gate.Verdict)) gate.Verdict {
			switch run {
			case 1: // passes while the approval is missing, and then ends by itself
				report(gate.Passed("silent"))
				time.Sleep(time.Minute)
				return gate.Passed("said at its end")
			case 2: // is lost again before the approval comes
				if got := outcome("quiet"); got != rollout.GateWaits {
					t.Errorf("quiet %s between two looks", got)
				}
				report(gate.Passed("silent"))
				time.Sleep(time.Minute)
				report(gate.Undecided("it fires"))
				time.Sleep(10 * time.Minute)
				report(gate.Passed("silent again"))
			}
			return until(ctx)
		}
		m.job = func(ctx context.Context, kind rollout.JobKind, _ int) gate.Verdict {
			if kind == rollout.JobDrain {
				return until(ctx)
			}
			return gate.Passed("well")
		}
		hold := spec.Hold{At: []string{spec.PointSwitch}, Deadline: spec.Deadline{After: spec.Duration(time.Hour), Then: spec.ThenHalt}}
		m.gates = func(s *spec.Service) {
			s.Silences = []spec.Silence{{Hold: hold, Name: "quiet"}}
			s.Approvals = []spec.Approval{{Hold: hold, Name: "owner"}}
		}
		drive(t, m, func(t *testing.T) {
			t.Helper()
			time.Sleep(30 * time.Second)
			synctest.Wait()
			if got := outcome("quiet"); got != rollout.GatePassed {
				t.Fatalf("quiet %s in its first look", got)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := outcome("quiet"); got != rollout.GatePassed {
				t.Fatalf("quiet %s in its second look", got)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			m.mu.Lock()
			m.s.Consents = []rollout.Consent{{Rollout: "r", Gate: "owner", Who: "a", At: time.Now()}}
			m.mu.Unlock()
			time.Sleep(time.Minute)
			synctest.Wait()
			if record, live, _, _ := m.now(); live.Pool != spec.Blue || outcome("owner") != rollout.GatePassed || outcome("quiet") != rollout.GateWaits || record.Held == nil {
				t.Fatalf("owner %s, quiet %s, live %s", outcome("owner"), outcome("quiet"), live.Side())
			}
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			_, live, runs, running := m.now()
			if live.Pool != spec.Green || runs[rollout.JobGate] != 2 || running[rollout.JobGate] {
				t.Fatalf("live %s; runs %v, running %v", live.Side(), runs, running)
			}
		})
	})
}

// TestEngine_NothingThatAGateHasSaidOutlastsItsLook: the rollout leaves a point
// because a node has to stage again, and comes to it once more.
func TestEngine_NothingThatAGateHasSaidOutlastsItsLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{job: func(ctx context.Context, _ rollout.JobKind, _ int) gate.Verdict { return until(ctx) }}
		m.watch = func(ctx context.Context, run int, report func(gate.Verdict)) gate.Verdict {
			if run == 1 {
				report(gate.Passed("silent"))
			}
			return until(ctx)
		}
		hold := spec.Hold{At: []string{spec.PointRoll}, Deadline: spec.Deadline{After: spec.Duration(time.Hour), Then: spec.ThenHalt}}
		m.gates = func(s *spec.Service) {
			s.Silences = []spec.Silence{{Hold: hold, Name: "quiet"}}
			s.Approvals = []spec.Approval{{Hold: hold, Name: "owner"}}
		}
		report := func(state rollout.ReportState) {
			m.mu.Lock()
			m.s.Reports = map[string]rollout.Report{"green": {Rollout: "r", Pool: spec.Green, State: state}}
			m.mu.Unlock()
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		drive(t, m, func(t *testing.T) {
			t.Helper()
			report(rollout.Staged)
			report(rollout.Fetching)
			if record, _, runs, running := m.now(); record.Held != nil || runs[rollout.JobGate] != 1 || running[rollout.JobGate] {
				t.Fatalf("held %+v; %v, %v", record.Held, runs, running)
			}
			m.mu.Lock()
			m.s.Consents = []rollout.Consent{{Rollout: "r", Gate: "owner", Who: "a", At: time.Now()}}
			m.mu.Unlock()
			report(rollout.Staged)
			if record, _, runs, _ := m.now(); record.Phase != rollout.Staging || record.Held == nil || runs[rollout.JobGate] != 2 {
				t.Fatalf("%s, held %+v; %v", record.Phase, record.Held, runs)
			}
		})
	})
}
