package train_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/train"
)

// world is a small model of an environment whose services depend on each other
// in any way without cycles, some of them in a train. Its invariants are what a
// train promises.
type world struct {
	services []spec.Service
	train    *train.Train
	now      time.Time
	live     map[string]*pools.Live
	records  map[string]*rollout.Record // current or last ones
	history  map[string]*rollout.Record // by ID
	ids      int
	starts   map[string]int
	// below are, by service, all that it depends on, directly or not.
	below map[string]map[string]bool
}

func newWorld(t *rapid.T) *world {
	w := &world{
		now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), live: map[string]*pools.Live{}, records: map[string]*rollout.Record{},
		history: map[string]*rollout.Record{}, starts: map[string]int{}, below: map[string]map[string]bool{},
	}
	var items []train.Item
	for i := range rapid.IntRange(1, 8).Draw(t, "services") {
		s := spec.Service{Name: fmt.Sprintf("s%d", i)}
		w.below[s.Name] = map[string]bool{}
		for _, before := range w.services {
			if rapid.IntRange(0, 2).Draw(t, s.Name+" needs "+before.Name) == 0 {
				s.DependsOn = append(s.DependsOn, before.Name)
				w.below[s.Name][before.Name] = true
				maps.Copy(w.below[s.Name], w.below[before.Name])
			}
		}
		w.services = append(w.services, s)
		w.lead(s.Name, "v0")
		if i == 0 || rapid.IntRange(0, 3).Draw(t, s.Name+" is in the train") > 0 {
			items = append(items, train.Item{Service: s.Name, Version: "v1"})
			if rapid.IntRange(0, 9).Draw(t, s.Name+" is live") == 0 {
				w.lead(s.Name, "v1")
			}
		}
	}
	items = rapid.Permutation(items).Draw(t, "items")
	made, err := train.New("train-1", "alice", w.now, rapid.IntRange(1, 4).Draw(t, "parallel"), items, w.services)
	if err != nil {
		t.Fatal(err)
	}
	w.train = made
	return w
}

func (w *world) lead(service, version string) {
	live := w.live[service].Next("test", w.now)
	live.Pool, live.Version = spec.Blue, version
	w.live[service] = live
}

// facts are what the ledger reads.
func (w *world) facts() map[string]train.Fact {
	facts := make(map[string]train.Fact)
	for _, car := range w.train.Cars {
		fact := train.Fact{Live: w.live[car.Service]}
		if !car.State.Ended() {
			fact.Current, fact.Own = w.records[car.Service], w.history[car.Rollout]
		}
		facts[car.Service] = fact
	}
	return facts
}

// drive does what the driver does until nothing is left to be done.
func (w *world) drive(t *rapid.T) {
	for range 10 * train.MaxCars {
		before := w.written(t)
		step := train.Plan(w.train, w.facts(), w.now)
		if !reflect.DeepEqual(before, w.written(t)) {
			t.Fatalf("the plan has changed the train that it was given")
		}
		if step.Train == nil {
			w.settled(t)
			return
		}
		if step.Start != "" {
			w.start(t, step)
		}
		w.train = step.Train
		w.train = w.written(t)
	}
	t.Fatalf("it never settles: %+v", w.train)
}

// written is the train as it comes back from Consul.
func (w *world) written(t *rapid.T) *train.Train {
	value, err := json.Marshal(w.train)
	if err != nil {
		t.Fatal(err)
	}
	back, err := train.Parse(value, w.train.Index)
	if err != nil {
		t.Fatalf("%v: %s", err, value)
	}
	return back
}

// start checks that the car may start now.
func (w *world) start(t *rapid.T, step train.Step) {
	car := w.train.Car(step.Start)
	if w.starts[car.Service]++; w.starts[car.Service] > 1 {
		t.Fatalf("%s starts twice", car.Service)
	}
	if w.train.Back != nil {
		t.Fatalf("%s starts after the train was rolled back", car.Service)
	}
	if r := w.records[car.Service]; r != nil && !r.Phase.Ended() {
		t.Fatalf("%s starts while %s is under way", car.Service, r.ID)
	}
	for _, other := range w.train.Cars {
		if !w.below[car.Service][other.Service] {
			continue
		}
		own := w.history[other.Rollout]
		if own != nil && own.Phase != rollout.Converging && own.Phase != rollout.Done {
			t.Fatalf("%s starts while %s is %s", car.Service, other.Service, own.Phase)
		}
		if w.live[other.Service].Version != other.Version {
			t.Fatalf("%s starts while %s is on %s", car.Service, other.Service, w.live[other.Service].Version)
		}
	}
	w.begin(car.Service, car.Version)
	step.Train.Begin(car.Service, w.records[car.Service].ID, w.now)
	running := 0
	for _, other := range step.Train.Cars {
		if own := w.history[other.Rollout]; own != nil && !own.Phase.Ended() && own.Phase != rollout.Halted {
			running++
		}
	}
	if running > w.train.Parallel {
		t.Fatalf("%d rollouts are under way, at most %d are wanted", running, w.train.Parallel)
	}
}

// begin has a rollout under way.
func (w *world) begin(service, version string) {
	w.ids++
	r := &rollout.Record{ID: fmt.Sprintf("r%d", w.ids), Service: service, Version: version, Phase: rollout.Queued, By: "bob"}
	w.records[service], w.history[r.ID] = r, r
}

// settled checks what holds whenever there is nothing to be done.
func (w *world) settled(t *rapid.T) {
	ended := true
	for _, car := range w.train.Cars {
		ended = ended && car.State.Ended()
		switch car.State {
		case train.Waits:
			if car.Why == "" || car.Since.IsZero() {
				t.Fatalf("%s waits in silence", car.Service)
			}
		case train.Stopped:
			if !slices.ContainsFunc(w.train.Cars, func(other train.Car) bool { return w.below[car.Service][other.Service] && w.wrong(other) }) {
				t.Fatalf("%s is stopped, but nothing that it depends on went wrong: %s", car.Service, car.Why)
			}
			if car.Rollout != "" {
				t.Fatalf("%s is stopped and has started", car.Service)
			}
		case train.Runs, train.Baked, train.Halted, train.Done, train.Failed, train.RolledBack, train.Dropped:
		}
	}
	if ended != !w.train.Ended.IsZero() {
		t.Fatalf("all cars have ended: %v, the train has: %v", ended, w.train.Ended)
	}
}

// wrong tells whether a car has not come, or not stayed, where it was to go.
func (w *world) wrong(car train.Car) bool {
	return car.State == train.Failed || car.State == train.RolledBack || w.live[car.Service].Version != car.Version
}

// happen lets something happen to one service.
func (w *world) happen(t *rapid.T) {
	w.now = w.now.Add(time.Second)
	s := rapid.SampledFrom(w.services).Draw(t, "service").Name
	r := w.records[s]
	if r == nil || r.Phase.Ended() {
		switch rapid.IntRange(0, 9).Draw(t, "at rest") {
		case 0:
			w.begin(s, rapid.SampledFrom([]string{"v1", "v2"}).Draw(t, "version"))
		case 1:
			w.lead(s, "v0") // somebody rolls back, or edits
		}
		return
	}
	switch rapid.IntRange(0, 9).Draw(t, "under way") {
	case 0:
		r.Phase, r.Outcome = rollout.Failed, "smoke failed"
	case 1:
		w.lead(s, "v0")
		r.Phase, r.Outcome = rollout.RolledBack, "by bob"
	case 2:
		if r.Phase != rollout.Halted {
			r.Halt = &rollout.Halt{Phase: r.Phase, By: "bob", Why: "a look"}
			r.Phase = rollout.Halted
		}
	default:
		w.goOn(s, r)
	}
}

// goOn is the next step of a rollout that goes well.
func (w *world) goOn(service string, r *rollout.Record) {
	switch r.Phase {
	case rollout.Halted:
		r.Phase, r.Halt = r.Halt.Phase, nil
	case rollout.Queued:
		r.Phase = rollout.Switching
	case rollout.Switching:
		w.lead(service, r.Version)
		r.Phase = rollout.Baking
	case rollout.Baking:
		r.Phase = rollout.Converging
	default:
		r.Phase = rollout.Done
	}
}
