package train_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/rollout"
	"switchd/train"
)

func TestWayBack_LeadsWhatDependsOnOthersFirst(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		way := w.train.WayBack()
		for i, car := range way {
			for _, later := range way[i+1:] {
				if w.below[later.Service][car.Service] {
					t.Fatalf("%s goes back before %s, which depends on it", car.Service, later.Service)
				}
			}
			var want []string
			for _, other := range w.train.Cars {
				if w.below[car.Service][other.Service] {
					want = append(want, other.Service)
				}
			}
			var got []string
			for _, other := range w.train.Needs(car.Service) {
				got = append(got, other.Service)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s needs %v, want %v", car.Service, got, want)
			}
		}
	})
}

func TestRollBack_DropsWhatHasNotStartedAndDoesSoOnce(t *testing.T) {
	t.Parallel()
	made := chain(t)
	made.Begin("a", "r-a", time.Unix(1e9, 0))
	if !made.RollBack("bob", "errors", time.Unix(2e9, 0)) || made.RollBack("eve", "", time.Unix(3e9, 0)) {
		t.Error("it is marked once")
	}
	if got, want := tell(made), "a runs; b dropped the train was rolled back; c dropped the train was rolled back"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if want := (train.Back{By: "bob", Why: "errors", At: time.Unix(2e9, 0).UTC()}); !reflect.DeepEqual(*made.Back, want) {
		t.Errorf("got %+v", *made.Back)
	}
}

func TestReturns_OnlyWhatIsTheTrains(t *testing.T) {
	t.Parallel()
	under := func(id, version string) *rollout.Record {
		return &rollout.Record{ID: id, Service: "web", Version: version, By: "bob", Phase: rollout.Canary}
	}
	car := func(state train.State, rollout string) train.Car {
		return train.Car{Service: "web", Version: "2", State: state, Rollout: rollout}
	}
	for name, c := range map[string]struct {
		car    train.Car
		fact   train.Fact
		why    string
		blocks bool
	}{
		"is live":                    {car: car(train.Done, "r1"), fact: train.Fact{Live: on("2")}},
		"is under way":               {car: car(train.Runs, "r1"), fact: train.Fact{Live: on("1"), Current: under("r1", "2")}},
		"is the first release":       {car: car(train.Runs, "r1"), fact: train.Fact{Current: under("r1", "2")}},
		"failed and stayed live":     {car: car(train.Failed, "r1"), fact: train.Fact{Live: on("2")}},
		"failed":                     {car: car(train.Failed, "r1"), fact: train.Fact{Live: on("1")}, why: "it went back already; 1 on blue is live"},
		"failed, nothing is live":    {car: car(train.Failed, "r1"), why: "it went back already; nothing is live"},
		"was promoted again":         {car: car(train.RolledBack, "r1"), fact: train.Fact{Live: on("2")}, why: "it went back already; 2 on blue is live"},
		"never started":              {car: car(train.Dropped, ""), fact: train.Fact{Live: on("2")}, why: "it never started"},
		"was live before":            {car: car(train.Done, ""), fact: train.Fact{Live: on("2")}, why: "2 was live before the train"},
		"was followed by another":    {car: car(train.Done, "r1"), fact: train.Fact{Live: on("3")}, why: "3 on blue is live by now"},
		"is being followed, is live": {car: car(train.Done, "r1"), fact: train.Fact{Live: on("2"), Current: under("r2", "3")}, why: "the rollout of 3, begun by bob, is under way (phase canary); wait for its end, or `switchd rollback web`", blocks: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.car.Returns(c.fact)
			if stays, ok := errors.AsType[*train.StaysError](err); c.why == "" && err != nil || c.why != "" && (!ok || stays.Why != c.why || stays.Blocks != c.blocks) {
				t.Errorf("got %v, want %q", err, c.why)
			}
		})
	}
}
