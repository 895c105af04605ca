package train_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/train"
)

func TestPlan_KeepsItsPromisesWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(0, 60).Draw(t, "events") {
			if rapid.IntRange(0, 2).Draw(t, "the driver looks") > 0 {
				w.drive(t)
			}
			if rapid.IntRange(0, 59).Draw(t, "roll back") == 0 {
				w.train.RollBack("bob", "", w.now)
			}
			w.happen(t)
		}
		// Nothing more goes wrong, and somebody resumes what is halted.
		for i := 0; i < 10*len(w.services) && w.train.Ended.IsZero(); i++ {
			w.drive(t)
			for _, s := range w.services {
				if r := w.records[s.Name]; r != nil && !r.Phase.Ended() {
					w.goOn(s.Name, r)
				}
			}
		}
		w.drive(t)
		if w.train.Ended.IsZero() {
			t.Fatalf("it does not come to an end: %+v", w.train)
		}
	})
}

// TestPlan_StopsExactlyWhatDependsOnAFailure has nothing happen but failures.
func TestPlan_StopsExactlyWhatDependsOnAFailure(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		fails := make(map[string]bool)
		for _, s := range w.services {
			fails[s.Name] = rapid.IntRange(0, 3).Draw(t, s.Name+" fails") == 0
		}
		for i := 0; i < 10*len(w.services) && w.train.Ended.IsZero(); i++ {
			w.drive(t)
			for _, s := range w.services {
				switch r := w.records[s.Name]; {
				case r == nil || r.Phase.Ended():
				case fails[s.Name]:
					r.Phase = rollout.Failed
				default:
					w.goOn(s.Name, r)
				}
			}
		}
		w.drive(t)
		for _, car := range w.train.Cars {
			want := train.Done
			if fails[car.Service] && car.Why != "is live already" {
				want = train.Failed
			}
			for _, other := range w.train.Cars {
				if w.below[car.Service][other.Service] && other.State == train.Failed && car.Why != "is live already" {
					want = train.Stopped
				}
			}
			if car.State != want {
				t.Fatalf("%s is %s (%s), want %s: %+v", car.Service, car.State, car.Why, want, w.train)
			}
		}
	})
}

// chain has c depend on b and b on a.
func chain(t *testing.T) *train.Train {
	t.Helper()
	made, err := train.New("train-1", "alice", time.Unix(1e9, 0), 2, []train.Item{{Service: "c", Version: "2"}, {Service: "b", Version: "2"}, {Service: "a", Version: "2"}}, []spec.Service{
		{Name: "a"}, {Name: "b", DependsOn: []string{"a"}}, {Name: "c", DependsOn: []string{"b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func on(version string) *pools.Live { return &pools.Live{Pool: spec.Blue, Version: version} }

// tell is the train's state in a few words.
func tell(t *train.Train) string {
	var cars []string
	for _, car := range t.Cars {
		cars = append(cars, strings.TrimSpace(car.Service+" "+string(car.State)+" "+car.Why))
	}
	return strings.Join(cars, "; ")
}

func TestPlan_SaysWhatEachCarWaitsForAndWhyItWasStopped(t *testing.T) {
	t.Parallel()
	made := chain(t)
	at := map[string]train.Fact{"a": {Live: on("1")}, "b": {Live: on("1")}, "c": {Live: on("1")}}
	look := func(want string) {
		t.Helper()
		if step := train.Plan(made, at, time.Unix(2e9, 0)); step.Train != nil {
			made = step.Train
			if step.Start != "" {
				made.Begin(step.Start, "r-"+step.Start, time.Unix(2e9, 0))
			}
		}
		if got := tell(made); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	at["a"] = train.Fact{Live: on("1"), Current: &rollout.Record{ID: "r9", Service: "a", Version: "1.9", By: "bob", Phase: rollout.Halted}}
	look("a waits for the end of the rollout of a 1.9, begun by bob, which is halted; b waits for a 2; c waits for b 2")
	at["a"] = train.Fact{Live: on("1")}
	look("a runs; b waits for a 2; c waits for b 2")
	own := &rollout.Record{ID: "r-a", Service: "a", Version: "2", Phase: rollout.Halted, Halt: &rollout.Halt{Phase: rollout.Canary, By: "bob", Why: "a look"}}
	at["a"] = train.Fact{Live: on("1"), Current: own, Own: own}
	look("a halted in canary, by bob: a look; b waits for a 2 (halted); c waits for b 2")
	if !made.Stands() {
		t.Error("nothing goes on without a person, and it doesn't say so")
	}
	own.Phase, own.Outcome = rollout.Failed, "analysis failed"
	look("a failed analysis failed; b stopped a 2 failed; c stopped a 2 failed")
	if made.Stands() || made.Ended.IsZero() {
		t.Error("it has not ended")
	}
}

func TestPlan_DoesNotBuildOnWhatIsNotLiveAnyMore(t *testing.T) {
	t.Parallel()
	made := chain(t)
	made.Parallel = 1
	made.Cars[0].State, made.Cars[0].Rollout = train.Done, "r-a"
	step := train.Plan(made, map[string]train.Fact{"a": {Live: on("1")}, "b": {Live: on("1")}, "c": {Live: on("1")}}, time.Unix(2e9, 0))
	if got, want := tell(step.Train), "a done for its turn; b stopped a 2 is not live any more, but 1 on blue; c stopped a 2 is not live any more, but 1 on blue"; got != want || step.Start != "" {
		t.Errorf("got  %s (starts %q)\nwant %s", got, step.Start, want)
	}
}

func TestPlan_KnowsNoOutcomeOfARolloutThatIsGone(t *testing.T) {
	t.Parallel()
	made := chain(t)
	made.Begin("a", "r-a", time.Unix(1e9, 0))
	step := train.Plan(made, map[string]train.Fact{}, time.Unix(2e9, 0))
	if got, want := step.Train.Cars[0], "rollout r-a was removed from Consul; its outcome is not known"; got.State != train.Failed || got.Why != want {
		t.Errorf("got %+v", got)
	}
}

func TestPlan_JudgesWhatIsOutOfTheOrdinary(t *testing.T) {
	t.Parallel()
	by := func(id string, phase rollout.Phase) *rollout.Record {
		return &rollout.Record{ID: id, Service: "a", Version: "2", By: "bob", Phase: phase}
	}
	for name, c := range map[string]struct {
		edit  func(*train.Train)
		facts train.Fact // of a
		want  string
		start string
	}{
		"somebody else brings the same version, which is not baked": {
			facts: train.Fact{Live: on("2"), Current: by("r9", rollout.Baking)},
			want:  "a waits for the end of the rollout of a 2, begun by bob; b waits for a 2; c waits for b 2",
		},
		"it converges, but users were led elsewhere": {
			edit:  func(t *train.Train) { t.Begin("a", "r1", time.Unix(1e9, 0)) },
			facts: train.Fact{Live: on("1"), Current: by("r1", rollout.Converging), Own: by("r1", rollout.Converging)},
			want:  "a runs; b waits for a 2; c waits for b 2",
		},
		"one was stopped, and its reason is gone": {
			edit: func(t *train.Train) {
				t.Cars[0].State, t.Cars[1].State, t.Cars[1].Why = train.Done, train.Stopped, "a 2 is not live any more, but 1 on blue"
			},
			facts: train.Fact{Live: on("2")},
			want:  "a done for its turn; b stopped a 2 is not live any more, but 1 on blue; c stopped a 2 is not live any more, but 1 on blue",
		},
		"it was rolled back by an edit": {
			edit:  func(t *train.Train) { t.Back = &train.Back{By: "bob"} },
			facts: train.Fact{Live: on("1")},
			want:  "a dropped the train was rolled back; b dropped the train was rolled back; c dropped the train was rolled back",
		},
		"others take all places": {
			edit:  func(t *train.Train) { t.Parallel, t.Cars[1].After = 1, nil },
			facts: train.Fact{Live: on("1")},
			want:  "a waits for its turn; b waits for others of the train: 1 may be under way at a time; c waits for b 2",
			start: "a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made := chain(t)
			if c.edit != nil {
				c.edit(made)
			}
			step := train.Plan(made, map[string]train.Fact{"a": c.facts, "b": {Live: on("1")}, "c": {Live: on("1")}}, time.Unix(2e9, 0))
			if got := tell(step.Train); got != c.want || step.Start != c.start {
				t.Errorf("starts %q, want %q\ngot  %s\nwant %s", step.Start, c.start, got, c.want)
			}
		})
	}
}
