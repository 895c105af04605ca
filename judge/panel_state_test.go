package judge_test

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"switchd/judge"
	"switchd/spec"
)

func marshalled(t testing.TB, p *judge.Panel) string {
	t.Helper()
	state, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(state)
}

func TestPanel_SaysWhichMetricBeginsAfresh(t *testing.T) {
	t.Parallel()
	p := panel(t, minutely(3, most("changed"), most("gone"), most("same")))
	for i := range 2 {
		look(p, i, map[string]float64{"changed": 1, "gone": 9, "same": 1})
	}
	changed := most("changed")
	changed.Max = new(3.0)
	next := panel(t, minutely(3, most("added"), changed, most("same")))
	if err := json.Unmarshal([]byte(marshalled(t, p)), next); err != nil {
		t.Fatal(err)
	}
	again := panel(t, minutely(3, most("added"), changed, most("same"))) // it is still said after another restart
	if err := json.Unmarshal([]byte(marshalled(t, next)), again); err != nil {
		t.Fatal(err)
	}
	v := again.Verdict()
	wantFinding(t, v.Findings[0], judge.Undecided, "added: 0 of 3 passing looks, last look: none yet; it begins afresh, since it was added to the spec on the way")
	wantFinding(t, v.Findings[1], judge.Undecided, "changed: 0 of 3 passing looks, last look: none yet; it begins afresh, since its spec was changed on the way")
	wantFinding(t, v.Findings[2], judge.Undecided, "same: 2 of 3 passing looks, last look: 1, allowed at most 2")
	if len(v.Findings) != 3 {
		t.Errorf("got %+v", v.Findings)
	}
}

func TestPanel_KnowsAfterARestartHowLongItLooked(t *testing.T) {
	t.Parallel()
	p, again := panel(t, minutely(2, most("a"))), panel(t, minutely(2, most("a")))
	look(p, 0, map[string]float64{"a": 1})
	if err := json.Unmarshal([]byte(marshalled(t, p)), again); err != nil {
		t.Fatal(err)
	}
	look(again, 1, map[string]float64{"a": 1})
	wantVerdict(t, again.Verdict(), judge.NoWorse, "a is within bounds on the new version, after 2 looks in 2 min")
	if path := again.Trail().Metrics["a"]; len(path) != 2 || !path[0].At.Equal(at(0)) {
		t.Errorf("got %+v", path)
	}
}

func TestPanel_RefusesAStateThatItDidNotWrite(t *testing.T) {
	t.Parallel()
	a := minutely(3, most("a"), kayenta("b"))
	p := panel(t, a)
	for i := range 2 {
		p.Observe(map[string]judge.Sample{"a": {At: at(i), Experiment: reading(1)}, "b": {At: at(i), Experiment: reading(1), Control: reading(2)}})
	}
	good := marshalled(t, p)
	replaced := func(old, now string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("there is no %s in %s", old, good)
		}
		return strings.ReplaceAll(good, old, now)
	}
	for name, state := range map[string]string{
		"no JSON":             good[:len(good)-1],
		"two values":          good + "{}",
		"null":                "null",
		"nothing":             "{}",
		"another version":     replaced(`"v":1`, `"v":2`),
		"another field":       replaced(`"v":1`, `"v":1,"w":1`),
		"another look":        replaced(`"newest":"passed"`, `"newest":"great"`),
		"a field of a look":   replaced(`"passed":2`, `"passed":2,"won":2`),
		"fewer than none":     replaced(`"passed":2`, `"passed":-2`),
		"half a value":        replaced(`"experiment":"`, `"experiment":"AAAA`),
		"values of one":       replaced(`"control":"AAAAAAAAAEAAAAAAAAAAQA=="`, `"control":"AAAAAAAAAEA="`),
		"fewer samples":       replaced(`"samples":2`, `"samples":-2`),
		"a broken mark":       replaced(`"trail":{`, `"trail":{"together":[[1,1]],`),
		"time that runs back": replaced(`"trail":{`, `"trail":{"together":[[2,1,0,null,null,null,null,null,1],[1,1,0,null,null,null,null,null,1]],`),
	} {
		other := panel(t, a)
		look(other, 0, map[string]float64{"a": 1})
		before := other.Verdict()
		if err := other.UnmarshalJSON([]byte(state)); err == nil || !strings.HasPrefix(err.Error(), "state of the analysis: ") {
			t.Errorf("%s: got %v", name, err)
		}
		if after := other.Verdict(); !reflect.DeepEqual(after, before) {
			t.Errorf("%s: the panel changed: %s", name, after.Why)
		}
	}
}

// However many looks there are, the state of fifty metrics is one that a rollout's
// record has room for: paths are full after a few, and from then on looks are merged.
func TestPanel_StaysSmallHoweverLongItLooks(t *testing.T) {
	t.Parallel()
	var metrics []spec.Metric
	for i := range 50 {
		m := most("")
		switch i % 5 {
		case 1:
			m = kayenta("")
		case 2:
			m = formula("errors <= 1e9 * requests")
		case 3, 4:
			m = errorCounts("")
		}
		m.Name = fmt.Sprintf("metric-%d", i)
		metrics = append(metrics, m)
	}
	p := panel(t, minutely(30, metrics...))
	rng := rand.New(rand.NewPCG(1, 2))
	const looks = 150
	size := 0
	for i := range looks {
		samples := make(map[string]judge.Sample)
		for _, m := range metrics {
			s := judge.Sample{At: at(i), Experiment: named(rng.Float64(), 1), Control: judge.Reading{Value: rng.Float64()}}
			s.Experiment.Value = rng.Float64()
			if m.Bad != "" {
				s.Experiment, s.Control = onNodes(10*rng.Float64(), 6000), onNodes(10*rng.Float64(), 6000)
			}
			samples[m.Name] = s
		}
		p.Observe(samples)
		if i == looks/2 {
			size = len(marshalled(t, p))
		}
	}
	state := marshalled(t, p)
	if len(state) > 64<<10 || len(state) > size+size/4 {
		t.Errorf("the state has %d bytes, %d half-way", len(state), size)
	}
	again := panel(t, minutely(30, metrics...))
	if err := json.Unmarshal([]byte(state), again); err != nil {
		t.Fatal(err)
	}
	if got, want := again.Verdict(), p.Verdict(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for want, broken := range map[string]string{
		"illegal base64 data":           state[:len(state)/2] + `"}`,
		"unpack: unexpected EOF":        `{"packed":""}`,
		"unpacked, it has more than 64": bomb(t),
	} {
		if err := json.Unmarshal([]byte(broken), again); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// bomb is a short state that would be a very long one.
func bomb(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	spaces := bytes.Repeat([]byte(" "), 1<<20)
	for range 65 {
		if _, err := w.Write(spaces); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string][]byte{"packed": b.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func FuzzPanel_UnmarshalJSON(f *testing.F) {
	a := minutely(3, most("a"), kayenta("b"), formula("errors < requests"))
	p := panel(f, a)
	f.Add([]byte(marshalled(f, p)))
	for i := range 5 {
		p.Observe(map[string]judge.Sample{
			"a": {At: at(i), Experiment: reading(1)}, "b": {At: at(i), Experiment: reading(1), Control: reading(2)}, "shop": {At: at(i), Experiment: named(1, 2)},
		})
		f.Add([]byte(marshalled(f, p)))
	}
	f.Add([]byte(`{"v":1,"course":{},"metrics":{"a":{"spec":"","judge":{}}},"trail":{"metrics":{"a":[[1,1,0,1,1,1,1,1,1]]}}}`))
	f.Fuzz(func(t *testing.T, state []byte) {
		p := panel(t, a)
		if err := p.UnmarshalJSON(state); err != nil {
			return
		}
		p.Verdict()
		first := []byte(marshalled(t, p))
		again := panel(t, a)
		if err := again.UnmarshalJSON(first); err != nil {
			t.Fatalf("it does not read what it wrote: %v", err)
		}
		if second := []byte(marshalled(t, again)); !bytes.Equal(first, second) {
			t.Fatalf("wrote %s\nand then %s", first, second)
		}
		p.Observe(map[string]judge.Sample{"a": {At: at(1000), Experiment: reading(1)}, "b": {At: at(1000), Experiment: reading(1), Control: reading(2)}})
		if v := p.Verdict(); v.Why == "" {
			t.Fatal("nothing was said")
		}
	})
}
