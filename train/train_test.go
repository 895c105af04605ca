package train_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"switchd/rollout"
	"switchd/spec"
	"switchd/train"
)

func TestParse_RefusesWhatCanNotBeCarriedOut(t *testing.T) {
	t.Parallel()
	good := func() *train.Train { return chain(t) }
	for want, edit := range map[string]func(*train.Train){
		"it has no id":                             func(t *train.Train) { t.ID = "" },
		"parallel is 0, want 1 or more":            func(t *train.Train) { t.Parallel = 0 },
		"it has 0 cars, want 1 to 100":             func(t *train.Train) { t.Cars = nil },
		"a car has no service or no version":       func(t *train.Train) { t.Cars[1].Version = "" },
		`service "a" has two cars`:                 func(t *train.Train) { t.Cars[1].Service = "a" },
		`state "flies" is not known`:               func(t *train.Train) { t.Cars[2].State = "flies" },
		`it is to follow "c", which does not come`: func(t *train.Train) { t.Cars[0].After = []string{"c"} },
		"more than the 393216 allowed":             func(t *train.Train) { t.By = strings.Repeat("x", 400<<10) },
	} {
		edited := good()
		edit(edited)
		value, err := json.Marshal(edited)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := train.Parse(value, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":"t","by":"alice","at":"2030-01-01T00:00:00Z","parallel":2,"cars":[{"service":"a","version":"1","state":"waits","since":"2030-01-01T00:00:00Z"},{"service":"b","version":"1","after":["a"],"state":"runs","rollout":"r1","since":"2030-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"id":"t","parallel":1,"cars":[{"service":"a","version":"1","state":"halted"}],"back":{"by":"x"}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, value []byte) {
		parsed, err := train.Parse(value, 7)
		if err != nil {
			return
		}
		// Whatever can be read can be carried out: a plan ends, and its result can
		// be read too.
		facts := map[string]train.Fact{}
		for _, car := range parsed.Cars {
			facts[car.Service] = train.Fact{Live: on("1"), Own: &rollout.Record{ID: car.Rollout, Phase: rollout.Halted}}
			_ = car.Returns(facts[car.Service])
			parsed.Needs(car.Service)
		}
		step := train.Plan(parsed, facts, time.Unix(2e9, 0))
		if step.Train == nil {
			return
		}
		text, err := json.Marshal(step.Train)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := train.Parse(text, 7); err != nil && len(text) < 1<<17 || err == nil && !reflect.DeepEqual(back.Cars[0].Service, parsed.Cars[0].Service) {
			t.Errorf("%s: %v", text, err)
		}
	})
}

// TestParse_ReadsWhatTheLargestTrainWrites has all texts as long as they can
// be, of characters that JSON escapes.
func TestParse_ReadsWhatTheLargestTrainWrites(t *testing.T) {
	t.Parallel()
	var services []spec.Service
	var items []train.Item
	for i := range train.MaxCars {
		s := spec.Service{Name: fmt.Sprintf("s%d%s", i, strings.Repeat("x", 59))}
		services = append(services, s)
		items = append(items, train.Item{Service: s.Name, Version: strings.Repeat("v", 64)})
	}
	terrible := strings.Repeat("<", 1000)
	made, err := train.New("t", terrible, time.Now(), 1, items, services)
	if err != nil {
		t.Fatal(err)
	}
	for _, car := range made.Cars {
		made.Begin(car.Service, car.Service+car.Version+"-20300101T000000-00000000", time.Now())
		made.Refuse(car.Service, terrible, time.Now())
	}
	made.RollBack(terrible, terrible, time.Now())
	value, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train.Parse(value, 1); err != nil {
		t.Error(err)
	}
}
