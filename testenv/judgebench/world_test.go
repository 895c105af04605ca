package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// near fails unless got is as near to what is wanted as the tolerance says.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.5g, want %.5g ± %.2g", what, got, want, tolerance)
	}
}

func TestWorld_MoodsHaveTheSpreadAndMemoryTheyDeclare(t *testing.T) {
	t.Parallel()
	for _, w := range worlds() {
		if w.spread == 0 {
			continue
		}
		rng := rand.New(rand.NewPCG(1, 1))
		m := w.first(rng)
		var n, sum, squares, last, lagged, moods float64
		for range 400_000 {
			m = w.next(rng, m)
			f, _ := w.factors(m)
			n, sum, squares = n+1, sum+f, squares+f*f
			lagged += last * m.errors
			moods += m.errors * m.errors
			last = m.errors
		}
		mean := sum / n
		near(t, w.name+": the mean factor", mean, 1, 0.02)
		near(t, w.name+": the coefficient of variation", math.Sqrt(squares/n-mean*mean)/mean, w.spread, 0.02)
		near(t, w.name+": the autocorrelation", lagged/moods, w.memory, 0.01)
	}
}

// fresh is a past without its looks, which take long to draw.
func fresh(rng *rand.Rand, w world) past {
	p := past{phase: 7 * rng.Float64()}
	for i := range p.moods {
		p.moods[i] = w.first(rng)
	}
	return p
}

// totals draws many rollouts and adds up both sides from a minute to another.
func totals(s setting, f fault, from, to int) (experiment, control counts) {
	for run := range 100 {
		rng := rand.New(rand.NewPCG(7, uint64(run)))
		r := s.rollout(rng, fresh(rng, s.world), f)
		for _, l := range r[from:to] {
			experiment.add(l.experiment.sum())
			control.add(l.control.sum())
		}
	}
	return experiment, control
}

func TestRollout_HasTheRatesItDeclares(t *testing.T) {
	t.Parallel()
	for _, w := range worlds() {
		s := setting{world: w, traffic: 6000, weight: 0.25}
		e, c := totals(s, fault{}, 10, minutes)
		tolerance := 0.05
		switch {
		case w.trend: // the mean of exp(a·sin) is I₀(a)
			near(t, "trend: the share of errors", c.errors/c.total/errorShare, 1.126, 0.1)
			near(t, "trend: the ratio", (e.errors/e.total)/(c.errors/c.total), 1, tolerance)
			continue
		case w.memory > 0.8:
			tolerance = 0.1
		}
		near(t, w.name+": the live pool's share of errors", c.errors/c.total/errorShare, 1, tolerance)
		for i := range edges {
			near(t, w.name+": a share of slow requests", c.slow[i]/c.total/slow[i], 1, tolerance+2/math.Sqrt(c.slow[i]))
		}
		want := 1.
		if w.outlier {
			want = (outlier + poolNodes - 1) / poolNodes
		}
		near(t, w.name+": the new version's share of errors", e.errors/e.total/errorShare, want, tolerance*want)
		if !w.gaps {
			near(t, w.name+": the weight", e.total/(e.total+c.total), s.weight, 0.001)
			near(t, w.name+": the traffic", (e.total+c.total)/100/(minutes-10), s.traffic, 10)
		}
	}
}

func TestRollout_HasItsFaultFromItsOnsetOn(t *testing.T) {
	t.Parallel()
	s := setting{world: world{}, traffic: 6000, weight: 0.5}
	for _, f := range []fault{{errors: 1.2}, {errors: 3, onset: 10}, {errors: 10, onset: 30}, {tail: 3, onset: 30}, {tail: 5}} {
		if f.onset > 0 {
			e, c := totals(s, f, 0, f.onset)
			near(t, f.String()+": the ratio of errors before", (e.errors/e.total)/(c.errors/c.total), 1, 0.06)
			near(t, f.String()+": the ratio of slow requests before", (e.slow[tailEdge]/e.total)/(c.slow[tailEdge]/c.total), 1, 0.06)
		}
		e, c := totals(s, f, f.onset, minutes)
		errors, tail := f.at(minutes)
		near(t, f.String()+": the ratio of errors", (e.errors/e.total)/(c.errors/c.total)/errors, 1, 0.05)
		for i := range edges {
			want := 1.
			if i >= tailEdge {
				want = tail
			}
			near(t, f.String()+": the ratio of slow requests", (e.slow[i]/e.total)/(c.slow[i]/c.total)/want, 1, 0.1)
		}
		excess := e.errors + e.slow[tailEdge] - c.errors - c.slow[tailEdge]
		near(t, f.String()+": the excess", excess/100/float64(minutes-f.onset)/f.excess(s.traffic*s.weight), 1, 0.15)
	}
}

func TestWorld_HasColdCachesAtFirstOnly(t *testing.T) {
	t.Parallel()
	cold := world{cold: true}
	near(t, "the first minute", cold.fresh(0), 1+2*(1-1/math.E), 1e-9)
	near(t, "the seventh minute", cold.fresh(6), 1, 0.01)
	for minute := range 10 {
		if cold.fresh(minute+1) >= cold.fresh(minute) {
			t.Errorf("minute %d is colder than the one before", minute+2)
		}
	}
}

func TestRollout_HasOneNodeOfBadHardware(t *testing.T) {
	t.Parallel()
	s := setting{world: world{outlier: true}, traffic: 600_000, weight: 0.5}
	rng := rand.New(rand.NewPCG(3, 3))
	r := s.rollout(rng, s.before(rng), fault{})
	var nodes [poolNodes]counts
	for _, l := range r {
		for i, c := range l.experiment {
			nodes[i].add(c)
		}
	}
	bad := 0
	for _, c := range nodes {
		switch ratio := c.errors / c.total / errorShare; {
		case math.Abs(ratio-outlier) < 0.2:
			bad++
		case math.Abs(ratio-1) > 0.1:
			t.Errorf("a node has %.2f times the usual errors", ratio)
		}
	}
	if bad != 1 {
		t.Errorf("%d nodes are bad, want 1", bad)
	}
}

// Trends are shared: what both pools' rates do is the same.
func TestRollout_SharesItsTrend(t *testing.T) {
	t.Parallel()
	s := setting{world: world{trend: true}, traffic: 1e6, weight: 0.5}
	rng := rand.New(rand.NewPCG(4, 4))
	r := s.rollout(rng, s.before(rng), fault{})
	least, most := math.Inf(1), 0.
	for i := range r {
		e, c := r.window(i, 1, experiment)[0], r.window(i, 1, control)[0]
		near(t, "the ratio", e/c, 1, 0.25)
		least, most = min(least, c), max(most, c)
	}
	if most < 3*least {
		t.Errorf("the share of errors goes from %.4f to %.4f only", least, most)
	}
}

func TestRollout_HasGapsAndAnOutage(t *testing.T) {
	t.Parallel()
	s := setting{world: world{gaps: true}, traffic: 300, weight: 0.5}
	single, away := 0, 0
	for run := range 200 {
		rng := rand.New(rand.NewPCG(5, uint64(run)))
		r := s.rollout(rng, fresh(rng, s.world), fault{})
		begun := false
		for i, l := range r {
			switch {
			case l.outage:
				if l.experiment != nil || l.control != nil {
					t.Fatal("there is data in an outage")
				}
				if begun && !r[i-1].outage {
					t.Fatal("there is a second outage")
				}
				begun = true
				away++
			case l.experiment == nil:
				single++
			}
		}
	}
	near(t, "the share of gaps", float64(single)/(200*(minutes-outage)), gapShare, 0.01)
	if away < 200*outage*9/10 {
		t.Errorf("the outages have %d minutes, want about %d", away, 200*outage)
	}
}
