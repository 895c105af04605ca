package process

import (
	"testing"

	"pgregory.net/rapid"

	"switchd/runner"
)

func TestHandle_ReadsBackWhatItWrote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := instance{
			identity: identity{
				pid:   rapid.IntRange(2, 1<<31-1).Draw(t, "pid"),
				start: rapid.Uint64().Draw(t, "start"),
				boot:  rapid.StringMatching(`[0-9a-f-]{1,36}`).Draw(t, "boot"),
			},
			socket: rapid.StringMatching(`(/[a-z :.]{1,9}){0,3}`).Draw(t, "socket"),
		}
		got, err := parseHandle(want.handle())
		if err != nil || got != want {
			t.Fatalf("%q reads back as %+v, %v", want.handle(), got, err)
		}
		mark, err := parseMark(want.mark(), want.boot)
		if err != nil || mark != want.identity {
			t.Fatalf("mark %q reads back as %+v, %v", want.mark(), mark, err)
		}
	})
}

func FuzzParseHandle(f *testing.F) {
	for _, seed := range []string{"pid:2:3:4", "pid:1:2:3", "pid:-1:0:x", "pid:99999999999:0:x", "pid:2:3:4:5", "shim:2:3:4:/a:b", "shim:2:3:4:a", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		i, err := parseHandle(runner.Handle(text))
		if err != nil {
			return
		}
		if i.pid <= 1 {
			t.Errorf("%q gave pid %d", text, i.pid)
		}
		if again, err := parseHandle(i.handle()); err != nil || again != i {
			t.Errorf("%q: %+v reads back as %+v, %v", text, i, again, err)
		}
	})
}
