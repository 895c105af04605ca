package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/consul"
	"switchd/rollout"
	"switchd/train"
)

// ErrUnknownTrain is a train that Consul doesn't hold.
var ErrUnknownTrain = errors.New("unknown train")

// readTrain bounds how many of a train's services are read at a time.
const readTrain = 8

// Trains reads all trains that are kept, the oldest first. Those that can't be
// read are left out; the error tells of them, or that there is no answer.
func (l *Ledger) Trains(ctx context.Context) ([]*train.Train, error) {
	entries, err := l.Consul.List(ctx, l.Keys.Trains())
	if err != nil {
		return nil, err
	}
	return ParseTrains(entries)
}

// ParseTrains reads trains from their keys, and sorts them, the oldest first.
// Those that can't be read are left out; the error tells of them.
func ParseTrains(entries []consul.Entry) ([]*train.Train, error) {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b consul.Entry) int { return cmp.Compare(a.Created, b.Created) })
	var trains []*train.Train
	var broken []error
	for _, entry := range entries {
		t, err := parseTrain(entry)
		if err != nil {
			broken = append(broken, err)
			continue
		}
		trains = append(trains, t)
	}
	return trains, errors.Join(broken...)
}

func parseTrain(entry consul.Entry) (*train.Train, error) {
	t, err := train.Parse(entry.Value, entry.Index)
	if err != nil {
		return nil, fmt.Errorf("read %s in Consul: %w", entry.Key, err)
	}
	return t, nil
}

// Train reads one train; one that isn't there is an ErrUnknownTrain.
func (l *Ledger) Train(ctx context.Context, id string) (*train.Train, error) {
	entry, err := l.Consul.Get(ctx, l.Keys.Train(id))
	if err != nil {
		return nil, err
	}
	if entry.Index == 0 {
		return nil, fmt.Errorf("%w %q in environment %q", ErrUnknownTrain, id, l.Keys.Env)
	}
	return parseTrain(entry)
}

// PutTrain writes a train under a fence, by compare-and-set. A new one takes
// the place of the oldest ended ones beyond those that are kept.
func (l *Ledger) PutTrain(ctx context.Context, fence Fence, t *train.Train) error {
	put, err := l.trainOp(t)
	if err != nil {
		return err
	}
	ops := []consul.Op{put}
	if t.Index == 0 {
		surplus, err := l.surplusTrains(ctx)
		if err != nil {
			return err
		}
		ops = append(ops, surplus...)
	}
	return l.fenced(ctx, fence, "write train "+t.ID, ops...)
}

func (l *Ledger) trainOp(t *train.Train) (consul.Op, error) {
	value, err := json.Marshal(t)
	if err != nil {
		return consul.Op{}, fmt.Errorf("write the train: %w", err)
	}
	return consul.CAS(l.Keys.Train(t.ID), value, t.Index), nil
}

// surplusTrains removes the oldest ended trains, so that there is room for one
// more.
func (l *Ledger) surplusTrains(ctx context.Context) ([]consul.Op, error) {
	trains, _ := l.Trains(ctx) // one that can't be read stays, and is in nobody's way
	var ended []*train.Train
	for _, t := range trains {
		if !t.Ended.IsZero() {
			ended = append(ended, t)
		}
	}
	surplus := min(max(len(ended)-train.Kept+1, 0), consul.MaxOps/2)
	var ops []consul.Op
	for _, t := range ended[:surplus] {
		ops = append(ops, consul.DeleteCAS(l.Keys.Train(t.ID), t.Index))
	}
	return ops, nil
}

// ChangeTrain reads a train, has it changed, and writes it under a short lease.
// When another writer was faster it does so again. A change that returns false
// leaves the train as it is.
func (l *Ledger) ChangeTrain(ctx context.Context, id, by string, change func(*train.Train) bool) (t *train.Train, err error) {
	err = l.operate(ctx, by, func(operator *Operator) error {
		if t, err = l.Train(ctx, id); err != nil || !change(t) {
			return err
		}
		return l.PutTrain(ctx, operator, t)
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// TrainFacts reads what is known of the services of a train, consistently for
// each of them.
func (l *Ledger) TrainFacts(ctx context.Context, t *train.Train) (map[string]train.Fact, error) {
	var mu sync.Mutex
	facts := make(map[string]train.Fact, len(t.Cars))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readTrain)
	for _, car := range t.Cars {
		group.Go(func() error {
			fact, err := l.trainFact(ctx, car)
			mu.Lock()
			defer mu.Unlock()
			facts[car.Service] = fact
			return err
		})
	}
	return facts, group.Wait()
}

// trainFact reads what is known of one car's service. Of a car that has ended,
// only what is live matters, to those that depend on it.
func (l *Ledger) trainFact(ctx context.Context, car train.Car) (fact train.Fact, err error) {
	if !car.State.Ended() {
		// Before the live record, as Observe does.
		if fact.Current, err = l.Record(ctx, car.Service); err != nil {
			return fact, err
		}
		if fact.Own, err = l.carRollout(ctx, car, fact.Current); err != nil {
			return fact, err
		}
	}
	fact.Live, err = l.Live(ctx, car.Service)
	return fact, err
}

// CarRollout reads a car's own rollout, nil if there is none.
func (l *Ledger) CarRollout(ctx context.Context, car train.Car) (*rollout.Record, error) {
	current, err := l.Record(ctx, car.Service)
	if err != nil {
		return nil, err
	}
	return l.carRollout(ctx, car, current)
}

// carRollout is a car's own rollout, from the history if another one came after
// it; nil if there is none.
func (l *Ledger) carRollout(ctx context.Context, car train.Car, current *rollout.Record) (*rollout.Record, error) {
	if car.Rollout == "" {
		return nil, nil //nolint:nilnil // a car that has not started is an ordinary state
	}
	if current != nil && current.ID == car.Rollout {
		return current, nil
	}
	return l.Ended(ctx, car.Service, car.Rollout)
}

// StartCar begins the rollout of a car, in one transaction with the train as a
// plan has left it: neither is written without the other, so that no car starts
// twice. A *rollout.Refusal says why it can't begin.
func (l *Ledger) StartCar(ctx context.Context, fence Fence, t *train.Train, service string, now time.Time) (*rollout.Change, error) {
	car := t.Car(service)
	s, err := l.observeCar(ctx, *car)
	if err != nil {
		return nil, err
	}
	change, err := promoteCar(s, t, *car, now)
	if err != nil {
		return nil, err
	}
	return change, l.Commit(ctx, fence, change, func(context.Context, *rollout.Change) ([]consul.Op, error) {
		t.Begin(service, change.Record.ID, now)
		op, err := l.trainOp(t)
		return []consul.Op{op}, err
	})
}

// TryCar says why the rollout of a car could not begin, which a *rollout.Refusal
// tells; nil if it could. For the end of another rollout it would wait.
func (l *Ledger) TryCar(ctx context.Context, t *train.Train, car train.Car) error {
	s, err := l.observeCar(ctx, car)
	if err != nil {
		return err
	}
	s.Record = nil
	_, err = promoteCar(s, t, car, time.Now())
	return err
}

// observeCar reads what decides on the rollout of a car.
func (l *Ledger) observeCar(ctx context.Context, car train.Car) (rollout.Situation, error) {
	s, err := l.Observe(ctx, car.Service)
	if err != nil {
		return s, err
	}
	s.Released, err = l.Released(ctx, car.Service, car.Version)
	return s, err
}

func promoteCar(s rollout.Situation, t *train.Train, car train.Car, now time.Time) (*rollout.Change, error) {
	by := fmt.Sprintf("%s (%s)", t.By, t.ID)
	change, err := rollout.Promote(s, NewID(car.Service, car.Version, now), car.Version, by, now)
	if err != nil {
		return nil, err
	}
	change.Record.Train = t.ID
	return change, nil
}

// ReturnCar leads a car back under a short lease, in one transaction with the
// train. A *train.StaysError says why it is left as it is, a *rollout.Refusal why
// it can't be led back.
func (l *Ledger) ReturnCar(ctx context.Context, id, service, by, why string) (*rollout.Change, error) {
	return l.doAlso(ctx, service, by, func(s rollout.Situation) (*rollout.Change, error) {
		t, err := l.Train(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := t.Car(service).Returns(train.Fact{Live: s.Live, Current: s.Record}); err != nil {
			return nil, err
		}
		return rollout.Rollback(s, by, why, time.Now())
	}, func(ctx context.Context, _ *rollout.Change) ([]consul.Op, error) {
		t, err := l.Train(ctx, id)
		if err != nil {
			return nil, err
		}
		t.Returned(service, why, time.Now())
		op, err := l.trainOp(t)
		return []consul.Op{op}, err
	})
}

// NewTrainID names a train: sortable by time, unique.
func NewTrainID(now time.Time) string {
	return uniqueID("train", now)
}
