// Package train puts several releases on their way together: each car is one
// release, and follows those that it depends on. It is pure.
package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"switchd/rollout"
	"switchd/spec"
)

const (
	// MaxCars is how many cars a train can have.
	MaxCars = 100
	// Kept is how many ended trains an environment keeps.
	Kept = 20
	// DefaultParallel is how many rollouts of a train may be under way where
	// nobody says.
	DefaultParallel = 4
)

// Train is the persisted state of several rollouts that belong together.
type Train struct {
	ID string    `json:"id"`
	By string    `json:"by"`
	At time.Time `json:"at"`
	// Parallel is how many rollouts of it may be under way. One that is halted
	// doesn't count.
	Parallel int `json:"parallel"`
	// Cars are in dependency order: each comes after all that it depends on.
	Cars []Car `json:"cars"`
	// Back is set when the train is rolled back: nothing more of it starts.
	Back  *Back     `json:"back,omitempty"`
	Ended time.Time `json:"ended,omitzero"`

	// Index is the record's ModifyIndex in Consul, for CAS.
	Index uint64 `json:"-"`
}

// Back says who rolled a train back, and why.
type Back struct {
	By  string    `json:"by"`
	Why string    `json:"why,omitempty"`
	At  time.Time `json:"at"`
}

// Car is one release of a train.
type Car struct {
	Service string `json:"service"`
	Version string `json:"version"`
	// After are the nearest cars that it depends on, directly or through
	// services that are not in the train.
	After []string `json:"after,omitempty"`
	State State    `json:"state"`
	// Since is when it came to its state, or to waiting for what Why says.
	Since time.Time `json:"since"`
	// Rollout is the one that the train has begun for it; empty: none.
	Rollout string `json:"rollout,omitempty"`
	// Why is what it waits for, or why it ended so.
	Why string `json:"why,omitempty"`
}

// Turn is what a car waits for whose rollout is about to begin.
const Turn = "for its turn"

// Release names the car's release.
func (c Car) Release() string { return c.Service + " " + c.Version }

// State is where a car is.
type State string

// The states of a car.
const (
	Waits      State = "waits"
	Runs       State = "runs"  // its rollout is under way
	Baked      State = "baked" // its rollout converges: what depends on it may start
	Halted     State = "halted"
	Done       State = "done"
	Failed     State = "failed"
	RolledBack State = "rolledback"
	Stopped    State = "stopped" // it never started, since what it depends on went wrong
	Dropped    State = "dropped" // it never started, since the train was rolled back
)

func states() []State {
	return []State{Waits, Runs, Baked, Halted, Done, Failed, RolledBack, Stopped, Dropped}
}

// Ended tells whether nothing more will happen to the car by itself.
func (s State) Ended() bool {
	switch s {
	case Done, Failed, RolledBack, Stopped, Dropped:
		return true
	case Waits, Runs, Baked, Halted:
	}
	return false
}

// past is the state as the end of a sentence.
func (s State) past() string {
	if s == RolledBack {
		return "was rolled back"
	}
	return string(s)
}

// Item is one release that a train is asked for.
type Item struct {
	Service string
	Version string
	// Place is where it is asked for, such as "release.train:3"; empty: on the
	// command line.
	Place string
}

// New makes a train of releases, in the order of what their services depend on.
// At most so many of its rollouts are under way at a time as parallel says. A
// cycle of dependencies is a *CycleError.
func New(id, by string, now time.Time, parallel int, items []Item, services []spec.Service) (*Train, error) {
	names := make([]string, 0, len(items))
	versions := make(map[string]string, len(items))
	for _, item := range items {
		names = append(names, item.Service)
		versions[item.Service] = item.Version
	}
	order, err := couple(services, names)
	if err != nil {
		return nil, err
	}
	now = now.UTC()
	t := &Train{ID: id, By: clip(by), At: now, Parallel: parallel}
	for _, c := range order {
		t.Cars = append(t.Cars, Car{Service: c.service, Version: versions[c.service], After: c.after, State: Waits, Since: now, Why: Turn})
	}
	return t, nil
}

// Car is the car of a service, nil if there is none.
func (t *Train) Car(service string) *Car {
	for i := range t.Cars {
		if t.Cars[i].Service == service {
			return &t.Cars[i]
		}
	}
	return nil
}

// Needs are the cars that one depends on, directly or through others, in the
// order of the train.
func (t *Train) Needs(service string) []Car {
	wanted := make(map[string]bool)
	var found []Car
	for _, c := range slices.Backward(t.Cars) {
		if wanted[c.Service] {
			found = append(found, c)
		}
		if c.Service == service || wanted[c.Service] {
			for _, name := range c.After {
				wanted[name] = true
			}
		}
	}
	slices.Reverse(found)
	return found
}

// Begin notes that a car's rollout begins.
func (t *Train) Begin(service, rollout string, now time.Time) {
	car := t.Car(service)
	car.Rollout = rollout
	car.become(Runs, "", now)
}

// Refuse notes that a car's rollout can't begin.
func (t *Train) Refuse(service, why string, now time.Time) {
	t.Car(service).become(Failed, why, now)
}

// become brings a car into a state, and tells whether it is another one, or
// for another reason.
func (c *Car) become(state State, why string, now time.Time) bool {
	why = clip(why)
	if c.State == state && c.Why == why {
		return false
	}
	c.State, c.Why, c.Since = state, why, now.UTC()
	return true
}

// end notes that all cars have come to their ends, and tells whether it has.
func (t *Train) end(now time.Time) bool {
	if !t.Ended.IsZero() || slices.ContainsFunc(t.Cars, func(c Car) bool { return !c.State.Ended() }) {
		return false
	}
	t.Ended = now.UTC()
	return true
}

// Stands tells whether nothing goes on without a person: every car that has not
// ended is halted, or waits for one that is.
func (t *Train) Stands() bool {
	stuck := make(map[string]bool)
	open := false
	for _, car := range t.Cars {
		if car.State.Ended() {
			continue
		}
		open = true
		stuck[car.Service] = car.State == Halted ||
			car.State == Waits && slices.ContainsFunc(t.Needs(car.Service), func(dep Car) bool { return stuck[dep.Service] })
		if !stuck[car.Service] {
			return false
		}
	}
	return open
}

// clone copies the train, so that a plan never changes what it was given.
// Nothing writes into what Back and After refer to.
func (t *Train) clone() *Train {
	c := *t
	c.Cars = slices.Clone(t.Cars)
	return &c
}

// Bounds of a record, in bytes. Consul takes values of 512 KiB.
const (
	maxRecord = 384 << 10
	maxText   = 300
)

func clip(text string) string { return rollout.Clip(text, maxText) }

// Parse reads a train's record. One that a person has edited into something
// that can't be carried out is an error.
func Parse(value []byte, index uint64) (*Train, error) {
	if len(value) > maxRecord {
		return nil, fmt.Errorf("parse the train: it has %d bytes, more than the %d allowed", len(value), maxRecord)
	}
	var t Train
	if err := json.Unmarshal(value, &t); err != nil {
		return nil, fmt.Errorf("parse the train: %w", err)
	}
	t.Index = index
	if err := t.validate(); err != nil {
		return nil, fmt.Errorf("parse the train: %w", err)
	}
	return &t, nil
}

// validate holds the cars to their order, so that no cycle can be among them.
func (t *Train) validate() error {
	switch {
	case t.ID == "":
		return errors.New("it has no id")
	case t.Parallel < 1:
		return fmt.Errorf("parallel is %d, want 1 or more", t.Parallel)
	case len(t.Cars) == 0 || len(t.Cars) > MaxCars:
		return fmt.Errorf("it has %d cars, want 1 to %d", len(t.Cars), MaxCars)
	}
	before := make(map[string]bool, len(t.Cars))
	for _, car := range t.Cars {
		switch {
		case car.Service == "" || car.Version == "":
			return errors.New("a car has no service or no version")
		case before[car.Service]:
			return fmt.Errorf("service %q has two cars", car.Service)
		case !slices.Contains(states(), car.State):
			return fmt.Errorf("car %q: state %q is not known to this version of switchd", car.Service, car.State)
		}
		for _, name := range car.After {
			if !before[name] {
				return fmt.Errorf("car %q: it is to follow %q, which does not come before it", car.Service, name)
			}
		}
		before[car.Service] = true
	}
	return nil
}
