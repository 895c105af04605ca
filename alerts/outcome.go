package alerts

import (
	"cmp"
	"slices"
)

// Outcome is what came of one alert for one service.
type Outcome struct {
	Alert   string `json:"alert"`
	ID      string `json:"id,omitempty"`
	Service string `json:"service,omitempty"`
	Effect  Effect `json:"effect"`
	Why     string `json:"why,omitempty"`

	source Source
	way    way
}

// way is how an alert came here.
type way string

const (
	webhook way = "webhook"
	poll    way = "poll"
)

func outcome(a Alert, service string, effect Effect, why string) Outcome {
	o := Outcome{Alert: a.Name(), ID: a.ID(), Service: service, Effect: effect, Why: why, source: a.Source, way: webhook}
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
