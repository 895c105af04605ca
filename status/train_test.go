package status_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"switchd/consul"
	"switchd/status"
	"switchd/train"
)

// spring is a train in the middle of its way.
func spring() *train.Train {
	return &train.Train{
		ID: "train-20260301T050000-0badcafe", By: "alice@desk", At: at("05:00:00"), Parallel: 2,
		Cars: []train.Car{
			{Service: "stock", Version: "3.1.0", State: train.Done, Since: at("05:10:00"), Rollout: "s", Why: "3.1.0 is live on green"},
			{Service: "cart", Version: "1.5.0", After: []string{"stock"}, State: train.Halted, Since: at("05:11:00"), Rollout: "c", Why: "in canary, by bob: a\x1b[2J look"},
			{Service: "web", Version: "2.0.0", After: []string{"cart"}, State: train.Waits, Since: at("05:00:00"), Why: "for cart 1.5.0 (halted)"},
			{Service: "mail", Version: "1", State: train.Runs, Since: at("05:11:20"), Rollout: "m"},
		},
	}
}

func overview(t *testing.T, doc status.Document) string {
	t.Helper()
	var text strings.Builder
	if err := status.Text(&text, doc, at("05:11:22"), status.Options{}); err != nil {
		t.Fatal(err)
	}
	_, trains, _ := strings.Cut(text.String(), "\n\n")
	return trains
}

func TestText_HasTheTrainsBelowTheServices(t *testing.T) {
	t.Parallel()
	doc := status.Document{Services: []status.Service{{Name: "web", Error: "not there"}}, Trains: []*train.Train{spring()}}
	want := `train-20260301T050000-0badcafe  begun 11m22s ago by alice@desk · 1 of 4 done, 2 at a time
  stock 3.1.0  done 1m22s ago · 3.1.0 is live on green
  cart 1.5.0   halted since 22s · in canary, by bob: a [2J look
  web 2.0.0    waits since 11m22s for cart 1.5.0 (halted)
  mail 1       runs since 2s
`
	if got := overview(t, doc); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	doc.Trains[0].Cars[3].State = train.Done
	if got := overview(t, doc); !strings.Contains(got, "2 of 4 done, 2 at a time · stands still until what is halted is resumed or rolled back\n") {
		t.Errorf("it doesn't say that it stands still:\n%s", got)
	}
	doc.Trains[0].RollBack("bob", "errors", at("05:11:12"))
	doc.Trains[0].Ended = at("05:11:20")
	if got := overview(t, doc); !strings.Contains(got, "2 at a time · rolled back 10s ago by bob: errors · ended 2s ago\n") {
		t.Errorf("it doesn't say that it was rolled back and has ended:\n%s", got)
	}
}

func TestRead_HasTheTrainsUnderWayAndThoseJustEnded(t *testing.T) {
	t.Parallel()
	open, young, old := spring(), spring(), spring()
	open.Cars = open.Cars[1:2] // of cart alone
	young.Ended, old.Ended = time.Now().Add(-50*time.Minute), time.Now().Add(-70*time.Minute)
	r := newReader(first(), canary())
	r.trains = []*train.Train{old, young, open}
	if got := read(t, r).Trains; len(got) != 2 || got[0] != young || got[1] != open {
		t.Errorf("got %+v", got)
	}
	if got := read(t, r, "web").Trains; len(got) != 1 || got[0] != young {
		t.Errorf("of web: got %+v", got)
	}
	text, err := json.Marshal(read(t, r))
	if err != nil {
		t.Fatal(err)
	}
	if want := `"trains":[{"id":"train-20260301T050000-0badcafe"`; !strings.Contains(string(text), want) {
		t.Errorf("%s has no %s", text, want)
	}
}

func TestRead_TellsATrainThatCanNotBeRead(t *testing.T) {
	t.Parallel()
	r := newReader(first())
	r.trains, r.trainsErr = []*train.Train{spring()}, errors.New("read trains/x in Consul: it has no id")
	doc := read(t, r)
	if len(doc.Trains) != 1 || doc.TrainsError != r.trainsErr.Error() {
		t.Errorf("got %+v, %q", doc.Trains, doc.TrainsError)
	}
	var text strings.Builder
	if err := status.Text(&text, doc, at("05:11:22"), status.Options{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "trains: read trains/x in Consul: it has no id\n") {
		t.Errorf("got\n%s", text.String())
	}
	r.trainsErr = &consul.Error{Action: "read", Kind: consul.ErrUnreachable}
	if _, err := status.Read(t.Context(), r); !errors.Is(err, consul.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}
