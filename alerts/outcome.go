package alerts

import (
	"cmp"
	"slices"
	"sync"
)

// Outcome is what came of one alert for one service.
type Outcome struct {
	Alert   string `json:"alert"`
	ID      string `json:"id,omitempty"`
	Service string `json:"service,omitempty"`
	Effect  Effect `json:"effect"`
	Why     string `json:"why,omitempty"`
	// Others is for how many more services the same came of it, which is not
	// told one by one where nothing was changed.
	Others int `json:"others,omitempty"`

	source Source
	way    way
	at     int // the alert's place among those that were told together
}

// tally gathers outcomes. A thousand alerts that concern a thousand services
// have a million, nearly all of them that nothing came of it: those are kept
// once for each alert and effect.
type tally struct {
	mu       sync.Mutex
	outcomes []Outcome
	same     map[quiet]int // place among the outcomes
}

// quiet is what outcomes have in common that are told as one.
type quiet struct {
	alert  int
	effect Effect
}

func (t *tally) add(some ...Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range some {
		key := quiet{o.at, o.Effect}
		i, told := t.same[key]
		switch {
		case o.Effect.acts():
			t.outcomes = append(t.outcomes, o)
		case told:
			t.outcomes[i].Others += 1 + o.Others
		default:
			if t.same == nil {
				t.same = make(map[quiet]int)
			}
			t.same[key] = len(t.outcomes)
			t.outcomes = append(t.outcomes, o)
		}
	}
}

// way is how an alert came here.
type way string

const (
	webhook way = "webhook"
	poll    way = "poll"
)

func outcome(a Alert, service string, effect Effect, why string) Outcome {
	o := Outcome{Alert: a.Name(), ID: a.ID(), Service: service, Effect: effect, Why: why, source: a.Source, way: webhook, at: a.at}
	if a.Receiver == "" {
		o.way = poll
	}
	return o
}

// sorted has first what changed something, then what failed.
func sorted(outcomes []Outcome) []Outcome {
	rank := func(o Outcome) int {
		switch {
		case o.Effect.acts():
			return 0
		case o.Effect == Failed:
			return 1
		default:
			return 2
		}
	}
	slices.SortStableFunc(outcomes, func(a, b Outcome) int { return cmp.Compare(rank(a), rank(b)) })
	return outcomes
}
