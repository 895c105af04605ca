package web

import (
	"time"

	"switchd/status"
	"switchd/train"
)

// trainView is one train on the page.
type trainView struct {
	ID   string
	Line string
	Cars []carView
}

// carView is one car of a train.
type carView struct {
	train.Car

	Line string
}

func trainViewOf(t *train.Train, now time.Time) trainView {
	v := trainView{ID: t.ID, Line: status.TrainLine(t, now)}
	for _, car := range t.Cars {
		v.Cars = append(v.Cars, carView{car, status.CarLine(car, now)})
	}
	return v
}

// Tone is the class of what became of the car.
func (c carView) Tone() string {
	switch c.State {
	case train.Done:
		return "good"
	case train.Failed, train.Halted, train.RolledBack, train.Stopped:
		return "bad"
	case train.Waits, train.Runs, train.Baked, train.Dropped:
	}
	return "soft"
}
