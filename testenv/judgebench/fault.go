package main

import "fmt"

// fault is what the new version does worse, from a minute on.
type fault struct {
	errors float64 // times as many errors; 0 as 1
	tail   float64 // times as many requests beyond tailEdge; 0 as 1
	onset  int     // minutes after the start of the rollout
}

// none is the fault of a version that has none.
func (f fault) none() bool { return f.errors <= 1 && f.tail <= 1 }

func (f fault) String() string {
	switch {
	case f.none():
		return "none"
	case f.tail > 1:
		return fmt.Sprintf("tail ×%v at %d", f.tail, f.onset)
	default:
		return fmt.Sprintf("errors ×%v at %d", f.errors, f.onset)
	}
}

// at returns by what rates are multiplied in a minute.
func (f fault) at(minute int) (errors, tail float64) {
	if minute < f.onset {
		return 1, 1
	}
	return max(1, f.errors), max(1, f.tail)
}

// excess is the number of requests a minute that are bad because of the fault,
// as is to be expected of so many.
func (f fault) excess(requests float64) float64 {
	return requests * (errorShare*(max(1, f.errors)-1) + slow[tailEdge]*(max(1, f.tail)-1))
}
