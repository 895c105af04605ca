package main

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"switchd/spec"
)

// bench simulates a grid.
type bench struct {
	seed  uint64
	runs  int
	rate  float64 // of false halts that knobs are set to
	plans []plan
	all   []contender
	// analysis is ours, for the self-test.
	analysis spec.Analysis
	tick     func(done, of int)
}

// results are what came out.
type results struct {
	clean   []*cell   // without a fault, by plan
	faulty  [][]*cell // by plan and fault
	knobs   []knobs   // by contender
	refused int       // metrics that failed our self-test
	tested  int
}

// cell is a fault in a setting, over all runs.
type cell struct {
	setting
	fault fault
	plan  int
	// halts are the looks of the halts, by calibration, contender and run; 0: none.
	halts [calibrations][][]uint8
	// passes are the looks of the first pass as set up, by contender and run.
	passes [][]uint8
	// finals are the settings of the knob below which a run is halted, by
	// contender and run.
	finals [][]float64
}

func newCell(p plan, at int, f fault, contenders, runs int) *cell {
	c := &cell{setting: p.setting, plan: at, fault: f}
	for i := range c.halts {
		c.halts[i] = table[uint8](contenders, runs)
	}
	c.passes = table[uint8](contenders, runs)
	c.finals = table[float64](contenders, runs)
	return c
}

func table[T any](rows, columns int) [][]T {
	t := make([][]T, rows)
	for i := range t {
		t[i] = make([]T, columns)
	}
	return t
}

// rng returns the generator of a part of a run in a setting. It depends on
// nothing else, so that neither the order nor the rest of the grid matters.
func (b *bench) rng(s setting, part string, run int) *rand.Rand {
	h := fnv.New64a()
	for _, of := range []string{s.name, number(s.traffic), number(s.weight), part} {
		_, _ = h.Write([]byte(of + "\x00")) // never fails
	}
	return rand.New(rand.NewPCG(b.seed^h.Sum64(), uint64(run)))
}

// run simulates everything: at first without faults, which is what the knobs
// are calibrated on, then the faults.
func (b *bench) run(ctx context.Context) (*results, error) {
	res := &results{}
	var pasts [][]known
	done, of := 0, 0
	for i, p := range b.plans {
		res.clean = append(res.clean, newCell(p, i, fault{}, len(b.all), b.runs))
		var cells []*cell
		for _, f := range p.faults {
			cells = append(cells, newCell(p, i, f, len(b.all), b.runs))
		}
		res.faulty = append(res.faulty, cells)
		of += 1 + len(p.faults)
	}
	step := func() {
		done++
		if b.tick != nil {
			b.tick(done, of)
		}
	}
	for i, p := range b.plans {
		known, err := b.clean(ctx, p, res.clean[i], res)
		if err != nil {
			return nil, err
		}
		if len(p.faults) == 0 {
			known = nil
		}
		pasts = append(pasts, known)
		step()
	}
	for c := range b.all {
		finals := make([][]float64, 0, len(b.plans))
		for _, cell := range res.clean {
			finals = append(finals, cell.finals[c])
		}
		res.knobs = append(res.knobs, calibrateAll(finals, func(i int) bool { return !b.plans[i].outlier }, b.rate))
	}
	for i := range b.plans {
		res.clean[i].apply(res.knobs)
		for _, cell := range res.faulty[i] {
			if err := b.faulty(ctx, cell, pasts[i], res.knobs); err != nil {
				return nil, err
			}
			step()
		}
		pasts[i] = nil
	}
	return res, nil
}

// known is what is kept of a run's past.
type known struct {
	moods     [poolNodes]mood
	phase     float64
	knowledge *knowledge
}

func (k known) past() past { return past{moods: k.moods, phase: k.phase} }

// clean simulates a setting without a fault.
func (b *bench) clean(ctx context.Context, p plan, c *cell, res *results) ([]known, error) {
	usual := p.setting
	usual.world = usual.usual()
	var rollouts []*rollout
	for i := range min(40, b.runs) {
		rng := b.rng(p.setting, "experience", i)
		rollouts = append(rollouts, usual.rollout(rng, usual.before(rng), fault{}))
	}
	experience := learn(rollouts, b.all)
	all := make([]known, b.runs)
	var refused, tested atomic.Int64
	err := b.each(ctx, func(run int) {
		before := p.before(b.rng(p.setting, "past", run))
		k := known{moods: before.moods, phase: before.phase, knowledge: &knowledge{usual: experience, backgrounds: selfTest(b.analysis, before)}}
		for _, bg := range k.knowledge.backgrounds {
			tested.Add(1)
			if bg.Untrusted != "" {
				refused.Add(1)
			}
		}
		all[run] = k
		o := p.rollout(b.rng(p.setting, c.fault.String(), run), k.past(), fault{})
		for i, contender := range b.all {
			t := contender.watch(o, k.knowledge)
			c.halts[asIs][i][run], c.passes[i][run], c.finals[i][run] = uint8(t.halt), uint8(t.pass), t.final()
		}
	})
	res.refused += int(refused.Load())
	res.tested += int(tested.Load())
	return all, err
}

// apply marks the false halts under the knobs: their time isn't asked for.
func (c *cell) apply(all []knobs) {
	for i, k := range all {
		for run, final := range c.finals[i] {
			for how, knob := range k.of(c.plan) {
				if how != int(asIs) && final > knob {
					c.halts[how][i][run] = minutes
				}
			}
		}
	}
}

// of returns the knob by calibration in a plan's setting.
func (k knobs) of(plan int) [calibrations]float64 {
	return [calibrations]float64{own: k.own[plan], mean: k.mean, worst: k.worst}
}

// faulty simulates a fault in the rollouts that follow the same pasts.
func (b *bench) faulty(ctx context.Context, c *cell, pasts []known, all []knobs) error {
	return b.each(ctx, func(run int) {
		o := c.rollout(b.rng(c.setting, c.fault.String(), run), pasts[run].past(), c.fault)
		for i, contender := range b.all {
			t := contender.watch(o, pasts[run].knowledge)
			c.passes[i][run], c.finals[i][run] = uint8(t.pass), t.final()
			for how, knob := range all[i].of(c.plan) {
				c.halts[how][i][run] = uint8(t.haltsAbove(knob))
			}
			c.halts[asIs][i][run] = uint8(t.halt)
		}
	})
}

// each does something for all runs, on all cores.
func (b *bench) each(ctx context.Context, do func(run int)) error {
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		group.Go(func() error {
			for run := worker; run < b.runs; run += workers {
				if err := ctx.Err(); err != nil {
					return err
				}
				do(run)
			}
			return nil
		})
	}
	return group.Wait()
}
