package process

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// A shim may be older or younger than its agent.
func TestTake_ToleratesTheFieldsOfAnotherVersion(t *testing.T) {
	t.Parallel()
	a, err := take[answer](strings.NewReader(`{"version":9,"pid":7,"restarts":2,"why":"x","mood":{"good":true}}`))
	if want := (answer{Version: 9, PID: 7, Restarts: 2, Why: "x"}); err != nil || a != want {
		t.Errorf("read %+v, %v, want %+v", a, err, want)
	}
	o, err := take[order](strings.NewReader(`{"version":9,"stop":{"signal":15,"grace":1000000000,"how":"nicely"}}`))
	if err != nil || o.Stop == nil || *o.Stop != (stopOrder{Signal: 15, Grace: time.Second}) {
		t.Errorf("read %+v, %v", o.Stop, err)
	}
}

func FuzzTake(f *testing.F) {
	for _, seed := range []string{`{}`, `{"version":1,"stop":{"signal":15}}`, `{"do":"check"}`, `[`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := take[task](strings.NewReader(text))
		if err != nil {
			return
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("%q gives %+v, which can't be written: %v", text, got, err)
		}
	})
}
