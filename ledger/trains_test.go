package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"switchd/consul"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/spec"
	"switchd/train"
)

// put puts a train of web 2.0.0 in.
func (w world) putTrain(t *testing.T, fence ledger.Fence, id string) *train.Train {
	t.Helper()
	made, err := train.New(id, "alice", time.Now(), 2, []train.Item{{Service: "web", Version: "2.0.0"}}, []spec.Service{{Name: "web"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.PutTrain(t.Context(), fence, made); err != nil {
		t.Fatal(err)
	}
	return w.readTrain(t, id)
}

func (w world) readTrain(t *testing.T, id string) *train.Train {
	t.Helper()
	found, err := w.Train(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestStartCar_WritesTrainAndRolloutTogetherOrNeither(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lease := w.lease(t)
	made := w.putTrain(t, lease, "train-1")
	if _, err := w.StartCar(t.Context(), lease, made, "web", time.Now()); !isRefusal(err, rollout.UnknownVersion) {
		t.Fatalf("got %v, want a refusal", err)
	}
	w.publish(t, "2.0.0")
	before := w.everything(t)
	stale := w.readTrain(t, "train-1")
	stale.Index--
	if _, err := w.StartCar(t.Context(), lease, stale, "web", time.Now()); !errors.Is(err, consul.ErrConflict) {
		t.Fatalf("got %v, want a conflict", err)
	}
	if w.everything(t) != before {
		t.Fatal("something was written beside a train that somebody else has changed")
	}
	change, err := w.StartCar(t.Context(), lease, w.readTrain(t, "train-1"), "web", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	record, err := w.Record(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	car := w.readTrain(t, "train-1").Car("web")
	if record.ID != change.Record.ID || record.Train != "train-1" || record.By != "alice (train-1)" || car.Rollout != record.ID || car.State != train.Runs {
		t.Errorf("got %+v and %+v", record, car)
	}
	// A second driver that has not seen it yet.
	if _, err := w.StartCar(t.Context(), lease, made, "web", time.Now()); !isRefusal(err, rollout.Busy) {
		t.Errorf("got %v, want that it is busy", err)
	}
}

func TestStartCar_NeedsTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, "2.0.0")
	lease := w.lease(t)
	made := w.putTrain(t, lease, "train-1")
	w.destroySessions(t)
	before := w.everything(t)
	if _, err := w.StartCar(t.Context(), lease, made, "web", time.Now()); err == nil || w.everything(t) != before {
		t.Errorf("a driver without its lease has started a car (%v)", err)
	}
}

func TestTryCar_DoesNotMindARolloutThatIsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.putTrain(t, w.lease(t), "train-1")
	if err := w.TryCar(t.Context(), made, made.Cars[0]); !isRefusal(err, rollout.UnknownVersion) {
		t.Errorf("got %v, want a refusal", err)
	}
	w.publish(t, "2.0.0")
	if _, err := w.Do(t.Context(), "web", "test", promote("r1")); err != nil {
		t.Fatal(err)
	}
	before := w.everything(t)
	if err := w.TryCar(t.Context(), made, made.Cars[0]); err != nil || w.everything(t) != before {
		t.Errorf("got %v", err)
	}
}

func TestTrainFacts_FindARolloutThatAnotherOneCameAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, "2.0.0")
	lease := w.lease(t)
	change, err := w.StartCar(t.Context(), lease, w.putTrain(t, lease, "train-1"), "web", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range []func(rollout.Situation) (*rollout.Change, error){rollback, promote("r2")} {
		if _, err := w.Do(t.Context(), "web", "test", next); err != nil {
			t.Fatal(err)
		}
	}
	facts, err := w.TrainFacts(t.Context(), w.readTrain(t, "train-1"))
	if err != nil {
		t.Fatal(err)
	}
	if f := facts["web"]; f.Current.ID != "r2" || f.Own == nil || f.Own.ID != change.Record.ID || f.Own.Phase != rollout.RolledBack || f.Live.Version != "1.0.0" {
		t.Errorf("got %+v", f)
	}
}

func TestReturnCar_LeadsBackWhatIsTheTrainsAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, "2.0.0")
	lease := w.lease(t)
	if _, err := w.StartCar(t.Context(), lease, w.putTrain(t, lease, "train-1"), "web", time.Now()); err != nil {
		t.Fatal(err)
	}
	change, err := w.ReturnCar(t.Context(), "train-1", "web", "bob", "errors")
	if err != nil || change.Record.Phase != rollout.RolledBack {
		t.Fatalf("got %+v, %v", change, err)
	}
	if car := w.readTrain(t, "train-1").Car("web"); car.State != train.RolledBack || car.Why != "errors" {
		t.Errorf("got %+v", car)
	}
	if _, err := w.Do(t.Context(), "web", "test", promote("r2")); err != nil {
		t.Fatal(err)
	}
	before := w.everything(t)
	_, err = w.ReturnCar(t.Context(), "train-1", "web", "bob", "errors")
	if _, ok := errors.AsType[*train.StaysError](err); !ok || w.everything(t) != before {
		t.Errorf("somebody else's rollout was touched (%v)", err)
	}
}

func TestChangeTrain_TriesAgainWhenAnotherWriterWasFaster(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lease := w.lease(t)
	w.putTrain(t, lease, "train-1")
	looks := 0
	changed, err := w.ChangeTrain(t.Context(), "train-1", "bob", func(made *train.Train) bool {
		if looks++; looks == 1 {
			other := w.readTrain(t, "train-1")
			other.Begin("web", "r1", time.Now())
			if err := w.PutTrain(t.Context(), lease, other); err != nil {
				t.Fatal(err)
			}
		}
		return made.RollBack("bob", "", time.Now())
	})
	if err != nil || looks != 2 || changed.Cars[0].State != train.Runs || w.readTrain(t, "train-1").Back == nil {
		t.Errorf("got %+v after %d looks: %v", changed, looks, err)
	}
	if _, err := w.ChangeTrain(t.Context(), "train-9", "bob", func(*train.Train) bool { return true }); !errors.Is(err, ledger.ErrUnknownTrain) {
		t.Errorf("got %v", err)
	}
}

func TestPutTrain_KeepsTheLastEndedOnesAndAllOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lease := w.lease(t)
	w.putTrain(t, lease, "open")
	w.put(t, w.Keys.Train("broken"), "{")
	for i := range train.Kept + 3 {
		ended := w.putTrain(t, lease, fmt.Sprintf("ended-%02d", i))
		ended.Ended = time.Now()
		if err := w.PutTrain(t.Context(), lease, ended); err != nil {
			t.Fatal(err)
		}
	}
	trains, err := w.Trains(t.Context())
	if err == nil || !strings.Contains(err.Error(), w.Keys.Train("broken")) {
		t.Errorf("got %v, want that one can't be read", err)
	}
	// Ended trains are counted when another one comes.
	if len(trains) != train.Kept+1 || trains[0].ID != "open" || trains[1].ID != "ended-03" {
		t.Errorf("%d trains are kept, the oldest is %s, the next %s", len(trains), trains[0].ID, trains[1].ID)
	}
}

func isRefusal(err error, reason rollout.Reason) bool {
	refusal, ok := errors.AsType[*rollout.Refusal](err)
	return ok && refusal.Reason == reason
}
