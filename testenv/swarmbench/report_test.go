//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMedian_HalfIsOnEachSide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 20).Draw(t, "values")
		before := slices.Clone(values)
		m := median(values)
		below, above := 0, 0
		for _, v := range values {
			if v < m {
				below++
			}
			if v > m {
				above++
			}
		}
		if 2*below > len(values) || 2*above > len(values) {
			t.Fatalf("%v of %v: %d are below and %d above", m, values, below, above)
		}
		if !slices.Equal(values, before) {
			t.Fatalf("the values were changed: %v to %v", before, values)
		}
	})
}

// of makes a result.
func of(name string, run int, seconds, ratio float64) result {
	return result{name: name, nodes: 8, run: run, ratio: ratio, copies: 1.1, outcome: outcome{last: time.Duration(seconds * float64(time.Second)), busy: 0.5}}
}

func TestReport_ComparesWithinARun(t *testing.T) {
	t.Parallel()
	r := report{
		scenarios: []scenario{{nodes: 8, size: 64 << 20, rate: 20e6}, {nodes: 16, size: 1, rate: 1}},
		names:     []string{"switchd", "aria2"},
		results: []result{
			// By medians alone it would be 10/10.
			of("switchd", 0, 10, 1), of("aria2", 0, 20, 2),
			of("switchd", 1, 5, 1.2), of("aria2", 1, 10, 2),
			of("switchd", 2, 30, 3), // Its rival was discarded.
		},
		discarded: []string{"aria2 at 8 nodes in run 3"},
	}
	var out strings.Builder
	r.print(&out)
	want := "figure: swarm.8.ratio_to_ideal 1.200\nfigure: swarm.8.vs_aria2 0.500\nfigure: swarm.8.seed_copies 1.100\n"
	if !strings.HasSuffix(out.String(), "\n"+want) {
		t.Errorf("got %s\nwant it to end with %s", out.String(), want)
	}
	if !strings.Contains(out.String(), "!!! DISCARDED: aria2 at 8 nodes in run 3\n") {
		t.Errorf("what was discarded isn't in %s", out.String())
	}
	if err := r.failure(); err == nil || !strings.Contains(err.Error(), "1 of 6") {
		t.Errorf("got %v, want an error about 1 of 6", err)
	}
}

func TestReport_SaysThatTheMachineWasBusy(t *testing.T) {
	t.Parallel()
	for busy, want := range map[float64]bool{0.5: false, 0.95: true} {
		x := of("aria2", 0, 10, 1)
		x.busy = busy
		r := report{scenarios: []scenario{{nodes: 8}}, names: []string{"aria2"}, results: []result{x}}
		var out strings.Builder
		r.print(&out)
		if got := strings.Contains(out.String(), "!!! THE MACHINE WAS BUSY"); got != want {
			t.Errorf("%.0f %% busy: said %t, want %t", busy*100, got, want)
		}
	}
}

func FuzzParseCPU(f *testing.F) {
	f.Add("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8\n")
	f.Add("cpu 1 2")
	f.Add("intr 5")
	f.Fuzz(func(t *testing.T, text string) {
		cpu, err := parseCPU(text)
		if err == nil && !strings.HasPrefix(strings.TrimSpace(text), "cpu") {
			t.Errorf("%q: got %+v", text, cpu)
		}
	})
}

func TestCPUTime_CountsWhatIsNotIdle(t *testing.T) {
	t.Parallel()
	before, err := parseCPU("cpu  100 0 50 1000 10 0 0 0 0 0\n")
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseCPU("cpu  120 10 60 1050 20 5 3 2 7 7\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := after.busySince(before), 50.0/110; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
