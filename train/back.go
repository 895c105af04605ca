package train

import (
	"fmt"
	"slices"
	"time"
)

// StaysError says why a car is not rolled back with its train.
type StaysError struct {
	Why string
	// Blocks tells that users are still on the train's version of it, so that
	// what it depends on must stay, too.
	Blocks bool
}

// Error is the reason.
func (e *StaysError) Error() string { return e.Why }

// RollBack marks the train, so that nothing more of it starts, and drops the
// cars that have not started. It tells whether there was anything to mark.
func (t *Train) RollBack(by, why string, now time.Time) bool {
	marked := t.Back == nil
	if marked {
		t.Back = &Back{By: clip(by), Why: clip(why), At: now.UTC()}
	}
	for i := range t.Cars {
		if t.Cars[i].State == Waits {
			marked = t.Cars[i].become(Dropped, dropped, now) || marked
		}
	}
	t.end(now)
	return marked
}

// dropped is why cars that have not started never will.
const dropped = "the train was rolled back"

// Returned notes that a car was led back.
func (t *Train) Returned(service, why string, now time.Time) {
	t.Car(service).become(RolledBack, why, now)
	t.end(now)
}

// WayBack are the cars in the order in which they are rolled back: what depends
// on others first.
func (t *Train) WayBack() []Car {
	cars := slices.Clone(t.Cars)
	slices.Reverse(cars)
	return cars
}

// Returns is nil if the car is to be rolled back with its train, and else a
// *StaysError.
func (c Car) Returns(f Fact) error {
	busy := f.busy()
	stays := func(format string, args ...any) error { return &StaysError{Why: fmt.Sprintf(format, args...)} }
	switch {
	case c.Rollout == "" && c.State == Done:
		return stays("%s was live before the train", c.Version)
	case c.Rollout == "":
		return stays("it never started")
	case busy != nil && busy.ID == c.Rollout:
		return nil
	case c.State == RolledBack, c.State == Failed && !f.leads(c.Version):
		return stays("it went back already; %s is live", f.Live.Side())
	case !f.leads(c.Version):
		return stays("%s is live by now", f.Live.Side())
	case busy != nil:
		return &StaysError{
			Why: fmt.Sprintf("the rollout of %s, begun by %s, is under way (phase %s); wait for its end, or `switchd rollback %s`",
				busy.Version, busy.By, busy.Phase, c.Service),
			Blocks: true,
		}
	default:
		return nil
	}
}
