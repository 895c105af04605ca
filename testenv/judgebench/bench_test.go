package main

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// small is a bench that takes little time.
func small(t *testing.T, runs int, plans ...plan) *bench {
	t.Helper()
	a := ourAnalysis(t)
	return &bench{seed: 5, runs: runs, rate: 0.2, plans: plans, all: contenders(a, true), analysis: a}
}

func plansOf(indexes ...int) (plans []plan) {
	for _, i := range indexes {
		plans = append(plans, plan{setting{worlds()[i], 3000, 0.5}, []fault{{errors: 3}, {tail: 3, onset: 30}}})
	}
	return plans
}

// A cell's runs don't depend on what else is simulated, and when.
func TestBench_RepeatsItself(t *testing.T) {
	t.Parallel()
	first, err := small(t, 2, plansOf(0, 4)...).run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := small(t, 2, plansOf(4, 0)...).run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first.clean[0].finals, second.clean[1].finals) || !reflect.DeepEqual(first.clean[1].halts[asIs], second.clean[0].halts[asIs]) {
		t.Error("the rollouts without a fault have changed")
	}
	for i, c := range first.faulty[0] {
		if !reflect.DeepEqual(c.halts[own], second.faulty[1][i].halts[own]) {
			t.Errorf("%s has changed", c.fault)
		}
	}
	other := small(t, 2, plansOf(0)...)
	other.seed++
	third, err := other.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(first.clean[0].finals, third.clean[0].finals) {
		t.Error("another seed changes nothing")
	}
}

// No judge has more false halts than the rate under its own knob, and none under
// the worst one in any setting.
func TestBench_ComparesAtTheRate(t *testing.T) {
	t.Parallel()
	b := small(t, 5, plan{setting: plansOf(0)[0].setting}, plan{setting: plansOf(3)[0].setting})
	res, err := b.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range res.clean {
		for i := range b.all {
			for _, how := range []calibration{own, worst} {
				if got := c.outcome(i, how).early.rate(); got > b.rate {
					t.Errorf("%s, %s, %s: %v of the runs are false halts", c.where(), b.all[i].name(), how, got)
				}
			}
		}
	}
}

func TestCell_SumsUp(t *testing.T) {
	t.Parallel()
	c := newCell(plan{setting: setting{traffic: 1000, weight: 0.5}}, 0, fault{errors: 2, onset: 10}, 1, 5)
	copy(c.halts[asIs][0], []uint8{4, 11, 15, 0, 60})
	copy(c.passes[0], []uint8{0, 7, 0, 0, 0})
	got := c.outcome(0, asIs)
	want := outcome{
		early: share{1, 5}, missed: share{1, 4}, passed: share{1, 5}, undecided: share{1, 5},
		median: 5, p90: math.Inf(1), passMedian: 7, bad: (1 + 5 + 50 + 50) / 4.,
	}
	near(t, "the bad requests", got.bad, want.bad, 1e-9)
	got.bad = want.bad
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReport_EndsWithItsFigures(t *testing.T) {
	t.Parallel()
	b := small(t, 2, plansOf(0)...)
	res, err := b.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	report{Writer: &text, bench: b, results: res}.write()
	for _, want := range []string{"as set up", "own setting", "mean of settings", "worst setting", "| iid, 3000/min, 50 %, tail ×3 at 30 |"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, text.String())
		}
	}
	var names []string
	for _, f := range res.figures(b.all, 12*time.Millisecond) {
		names = append(names, strings.Fields(f)[1])
	}
	want := []string{"judge.false_halt_max", "judge.false_halt_max_kayenta", "judge.bad_served_vs_best", "judge.look_1000_ms"}
	if !slices.Equal(names, want) {
		t.Errorf("the figures are %v, want %v", names, want)
	}
	if got, want := len(res.records(b.all)), 3*len(b.all)*int(calibrations); got != want {
		t.Errorf("there are %d records, want %d", got, want)
	}
}

// The reduced grid is a part of the whole one.
func TestGrid_HasEachWorld(t *testing.T) {
	t.Parallel()
	whole, reduced := grid(true), grid(false)
	for _, p := range reduced {
		i := slices.IndexFunc(whole, func(q plan) bool { return p.setting == q.setting })
		if i < 0 {
			t.Errorf("%s is in the reduced grid only", p.where())
			continue
		}
		for _, f := range p.faults {
			if !slices.Contains(whole[i].faults, f) {
				t.Errorf("%s, %s is in the reduced grid only", p.where(), f)
			}
		}
	}
	for _, w := range worlds() {
		if !slices.ContainsFunc(reduced, func(p plan) bool { return p.world == w }) {
			t.Errorf("the reduced grid has no %s", w.name)
		}
	}
}

// The best other judge is one for all faults; in hindsight, it is another at each.
func TestResults_CompareWithTheBestOther(t *testing.T) {
	t.Parallel()
	all := contenders(ourAnalysis(t), false)[:3] // ours and two others
	cell := func(looks ...uint8) *cell {
		c := newCell(plan{setting: setting{traffic: 1000, weight: 0.5}}, 0, fault{errors: 2}, len(all), 1)
		for i, at := range looks {
			c.halts[worst][i][0] = at
		}
		return c
	}
	res := &results{faulty: faultyOf(cell(4, 8, 16), cell(4, 32, 2))}
	if got := res.best(all, worst); got[0].rival != all[2].name() {
		t.Errorf("the best other is %s, want %s", got[0].rival, all[2].name())
	} else {
		near(t, "the ratio to it", geometric(got), math.Sqrt(0.25*2), 1e-9)
	}
	near(t, "the ratio in hindsight", geometric(res.hindsight(all, worst)), math.Sqrt(0.5*2), 1e-9)
}

func faultyOf(cells ...*cell) [][]*cell { return [][]*cell{cells} }
