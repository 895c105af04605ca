package train_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/spec"
	"switchd/train"
)

func TestNew_PutsEachCarBehindAllThatItDependsOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		place := make(map[string]int)
		// reach are all cars that one follows, by the train's own links.
		reach := make(map[string]map[string]bool)
		for i, car := range w.train.Cars {
			place[car.Service] = i
			reach[car.Service] = map[string]bool{}
			for _, name := range car.After {
				reach[car.Service][name] = true
				for far := range reach[name] {
					reach[car.Service][far] = true
				}
			}
		}
		for _, car := range w.train.Cars {
			for _, other := range w.train.Cars {
				if needs := w.below[car.Service][other.Service]; needs != reach[car.Service][other.Service] {
					t.Fatalf("%s follows %s: %v, it depends on it: %v", car.Service, other.Service, !needs, needs)
				} else if needs && place[other.Service] > place[car.Service] {
					t.Fatalf("%s stands before %s", car.Service, other.Service)
				}
			}
		}
	})
}

func TestNew_KeepsTheGivenOrderWhereNothingDepends(t *testing.T) {
	t.Parallel()
	items := []train.Item{{Service: "c", Version: "1"}, {Service: "a", Version: "1"}, {Service: "b", Version: "1"}}
	made, err := train.New("t", "alice", time.Unix(1e9, 0), 1, items, []spec.Service{{Name: "a"}, {Name: "b"}, {Name: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, car := range made.Cars {
		got = append(got, car.Service)
	}
	if !slices.Equal(got, []string{"c", "a", "b"}) {
		t.Errorf("got %v", got)
	}
}

// TestNew_ShowsThePathOfACycle has one through a service that is not in the
// train: files that were applied one after the other can make it.
func TestNew_ShowsThePathOfACycle(t *testing.T) {
	t.Parallel()
	services := []spec.Service{
		{Name: "web", DependsOn: []string{"cart"}}, {Name: "cart", DependsOn: []string{"stock"}}, {Name: "stock", DependsOn: []string{"cart", "db"}}, {Name: "db"},
	}
	for _, items := range [][]train.Item{
		{{Service: "web", Version: "2"}, {Service: "cart", Version: "2"}},
		{{Service: "cart", Version: "2"}, {Service: "web", Version: "2"}},
		{{Service: "web", Version: "2"}},
	} {
		_, err := train.New("t", "alice", time.Unix(1e9, 0), 1, items, services)
		cycle, ok := errors.AsType[*train.CycleError](err)
		if !ok || strings.Join(cycle.Path, " ") != "cart stock cart" {
			t.Errorf("got %v", err)
		}
	}
	if _, err := train.New("t", "alice", time.Unix(1e9, 0), 1, []train.Item{{Service: "db", Version: "2"}}, services); err != nil {
		t.Errorf("the cycle is not in the way of db: %v", err)
	}
}
