package script

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"switchd/runner"
)

func TestHandle_ReadsBackAsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := handle{
			notes: "/" + rapid.String().Draw(t, "notes"), run: rapid.StringN(1, 30, 60).Draw(t, "run"),
			version: rapid.String().Draw(t, "version"), printed: rapid.String().Draw(t, "printed"),
		}
		got, err := parseHandle(want.text())
		if err != nil || got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

func FuzzParseHandle(f *testing.F) {
	f.Add(string(handle{notes: "/var/log/web.exec.json", run: "X", version: "1.4.2", printed: "a & b=c"}.text()))
	f.Add("exec:notes=%2Fa&printed=&run=1&run=2&version=1")
	f.Add("exec:run=%zz")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHandle(runner.Handle(text))
		if err == nil && h.text() != runner.Handle(text) {
			t.Errorf("%q reads as %+v, which is written %q", text, h, h.text())
		}
	})
}

func FuzzParseNotes(f *testing.F) {
	const hooks = `"hooks":{"start":["./start"],"stop":["./stop"],"status":["./status"]}`
	f.Add([]byte(`{"runs":[{"id":"X","instance":"web-blue","version":"1.0.0","dir":"/a","log":"/b","phase":"started",` + hooks + `}],"new":1}`))
	f.Add([]byte(`{"runs":[{"id":"X","version":"1.0.0","dir":"a","log":"/b","phase":"stopped",` + hooks + `}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := parseNotes(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseNotes(again); err != nil || len(back.Runs) != len(n.Runs) {
			t.Errorf("%s reads as %+v, %v, want %+v", again, back, err, n)
		} else if len(n.Runs) > 0 && !reflect.DeepEqual(back.Runs[0].Hooks[StartHook], n.Runs[0].Hooks[StartHook]) {
			t.Errorf("%s reads as %+v, want %+v", again, back, n)
		}
	})
}
