package static

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
		path := rapid.Map(rapid.StringMatching(`[^/\x00]+`), func(name string) string { return "/srv/" + name + "x" })
		want := handle{link: path.Draw(t, "link"), dir: path.Draw(t, "dir"), state: path.Draw(t, "state"), run: rapid.StringN(1, 30, 60).Draw(t, "run")}
		got, err := parseHandle(want.text())
		if err != nil || got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

func FuzzParseHandle(f *testing.F) {
	f.Add(string(handle{link: "/srv/www/web", dir: "/var/lib/a b", state: "/var/log/web.static.json", run: "X"}.text()))
	f.Add("static:dir=%2Fa&link=%2Fb&run=1&run=2&state=%2Fc")
	f.Add("static:dir=%2Fa%2F..&link=%2Fb&run=1&state=%2Fc")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHandle(runner.Handle(text))
		if err == nil && h.text() != runner.Handle(text) {
			t.Errorf("%q reads as %+v, which is written %q", text, h, h.text())
		}
	})
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"runs":[{"id":"X","version":"1.0.0","link":"/srv/www/web","dir":"/var/lib/web/1.0.0","phase":"started"}],"new":1}`))
	f.Add([]byte(`{"runs":[{"id":"X","link":"/a/","dir":"/b","phase":"stopped"}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseState(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseState(again); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%s reads as %+v, %v, want %+v", again, back, err, s)
		}
	})
}

// Whatever happens in whatever order, at most one run is behind a link, and
// what was stopped stays so.
func TestState_NeverRunsTwoBehindOneLink(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s state
		ended := make(map[string]bool)
		ids := 0
		rapidID := func(t *rapid.T) string {
			if len(s.Runs) == 0 {
				return "none"
			}
			return rapid.SampledFrom(s.Runs).Draw(t, "run").ID
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				ids++
				s.begin(run{
					ID: string(rune('a' + ids)), Phase: starting,
					Link: rapid.SampledFrom([]string{"/l1", "/l2"}).Draw(t, "link"), Dir: rapid.SampledFrom([]string{"/d1", "/d2"}).Draw(t, "dir"),
				})
			},
			"started": func(t *rapid.T) {
				id := rapidID(t)
				if one, ok := s.find(id); ok && one.Phase == starting {
					s.started(id)
				}
			},
			"stop": func(t *rapid.T) {
				id := rapidID(t)
				s.stop(id)
				ended[id] = true
			},
			"": func(t *rapid.T) {
				running := make(map[string]int)
				places := make(map[[2]string]int)
				for _, r := range s.Runs {
					places[[2]string{r.Link, r.Dir}]++
					if r.Phase == started {
						running[r.Link]++
					}
					if ended[r.ID] && r.Phase != stopped {
						t.Fatalf("%s was stopped and is %s", r.ID, r.Phase)
					}
				}
				for link, n := range running {
					if n > 1 {
						t.Fatalf("%d run behind %s", n, link)
					}
				}
				for place, n := range places {
					if n > 1 {
						t.Fatalf("%d runs of %v", n, place)
					}
				}
			},
		})
	})
}
