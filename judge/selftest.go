package judge

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"switchd/judge/sequential"
	"switchd/spec"
)

const (
	selfTestWindows = 6  // the history is cut into so many rollouts
	selfTestSplits  = 4  // random halves of the nodes
	selfTestLooks   = 72 // the least looks: a dozen for each window
	selfTestWidest  = 16 // the most that a metric's noise is widened by
	// selfTestLong is how many looks it takes to tell noise that lasts from a pool that
	// can be compared with nothing but itself.
	selfTestLong = 360
)

// SelfTest learns from the live pool's history, before a release, by what a pool
// differs from itself, and whether the judge can be trusted with that. The history
// holds the live pool as the samples' experiment. For a histogram, its counts have one
// number for each of the metric's edges; if there are many, SelfTest chooses which of
// them are judged.
//
// Pools of the same version are made of halves of the live one's nodes, several
// times at random, but the same at each call; a pool of one node is compared with
// itself an hour later. They are judged as a rollout would be. If they are told
// apart more often than alpha allows, the noise is widened, and if that doesn't help,
// the metric is not trusted.
func SelfTest(m spec.Metric, a spec.Analysis, history []Sample) Background {
	if m.Judge != spec.JudgeSequential {
		return Background{}
	}
	// The pool is not new: it has settled.
	a.Settle, a.SettleFactor = 0, 1
	past := newPast(m, history)
	b := Background{Edges: past.choose(m)}
	if len(past.looks) < selfTestLooks {
		b.Why = fmt.Sprintf("the live pool's history has %s with data and %d are needed, so a noise of %.3g %% from node to node is assumed",
			plural(len(past.looks), "look"), selfTestLooks, 100*a.Noise)
		return b
	}
	assumed := ""
	b.Noise, assumed = past.noise(m, a, b)
	pairs := past.pairs()
	for widened := 1.; ; widened *= 2 {
		try := b
		try.Noise = slices.Clone(b.Noise)
		for i := range try.Noise {
			try.Noise[i].Variance *= widened
		}
		if widened > 1 {
			try.Widened = widened
		}
		told, err := alarms(m, a, try, pairs)
		if err != nil {
			return Background{Untrusted: err.Error()}
		}
		allowed := binomialQuantile(len(pairs), a.Alpha, 0.99)
		if told <= allowed {
			try.Why = past.found(a, try, assumed, told, len(pairs))
			return try
		}
		if widened == selfTestWidest {
			b.Untrusted = fmt.Sprintf("in its self-test on the live pool's history, the same version was told apart from itself in %d of %d comparisons, where chance allows %d, even with %v times the noise that it shows",
				told, len(pairs), allowed, widened)
			b.Why = b.Untrusted
			return b
		}
	}
}

// past is a pool's history without its gaps.
type past struct {
	looks []Sample
	nodes []string
	edges int
	took  time.Duration
}

func newPast(m spec.Metric, history []Sample) past {
	p := past{edges: max(1, len(m.Edges))}
	seen := make(map[string]bool)
	for _, s := range history {
		r := s.Experiment
		if r.Missing != "" {
			continue
		}
		if m.Query != "" {
			if _, why := above(r, ""); why != "" {
				continue
			}
		} else if !p.usable(r) {
			continue
		}
		for name, c := range r.Nodes {
			if c.Total > 0 {
				seen[name] = true
			}
		}
		p.looks = append(p.looks, s)
	}
	if n := len(history); n > 0 {
		p.took = history[n-1].At.Sub(history[0].At)
	}
	p.nodes = slices.Sorted(maps.Keys(seen))
	return p
}

// usable tells whether a reading has counts, and requests.
func (p past) usable(r Reading) bool {
	requests := 0.
	for _, c := range r.Nodes {
		if len(c.Bad) < p.edges || !isCount(c.Total) || slices.ContainsFunc(c.Bad, func(v float64) bool { return !isCount(v) }) {
			return false
		}
		requests += c.Total
	}
	return requests > 0
}

// maxEdges is the number of edges that are judged at the most: each shares in the
// evidence, and the neighbours of an edge say about the same.
const maxEdges = 6

// choose returns the edges to judge, nil for all. It spreads them over those that
// between 0.1 % and 50 % of the requests are slower than.
func (p past) choose(m spec.Metric) []int {
	if len(m.Edges) <= maxEdges {
		return nil
	}
	slow, total := make([]float64, len(m.Edges)), 0.
	for _, s := range p.looks {
		for _, c := range s.Experiment.Nodes {
			total += c.Total
			for i := range slow {
				slow[i] += c.Bad[i]
			}
		}
	}
	var inside []int
	for i, n := range slow {
		if n >= 0.001*total && n <= 0.5*total && n > 0 {
			inside = append(inside, i)
		}
	}
	if len(inside) == 0 { // nothing is known, so any may matter
		for i := range slow {
			inside = append(inside, i)
		}
	}
	if len(inside) <= maxEdges {
		return inside
	}
	chosen := make([]int, maxEdges)
	for i := range chosen {
		chosen[i] = inside[i*(len(inside)-1)/(maxEdges-1)]
	}
	return chosen
}

// noise returns the noise of each judged edge, or of the value, and why the prior
// had to stand for any of them, "" if it didn't.
func (p past) noise(m spec.Metric, a spec.Analysis, b Background) (noises []sequential.Noise, assumed string) {
	atLeast := func(prior, noise sequential.Noise, why string) sequential.Noise {
		if noise.Variance >= prior.Variance {
			return noise
		}
		assumed = why
		return prior
	}
	short := fmt.Sprintf("as %s are too few to see noise that lasts", plural(len(p.looks), "look"))
	if m.Query != "" {
		logs := make([]float64, len(p.looks))
		for i, s := range p.looks {
			logs[i] = math.Log(s.Experiment.Value)
		}
		noise, _ := sequential.EstimateValueNoise(logs) // all of them are values
		if len(p.looks) < selfTestLong {
			noise = atLeast(standingNoise(a), noise, short)
		}
		return []sequential.Noise{noise}, assumed
	}
	edges := b.Edges
	if edges == nil {
		edges = make([]int, p.edges)
		for i := range edges {
			edges[i] = i
		}
	}
	noises = make([]sequential.Noise, len(edges))
	for i, edge := range edges {
		history := make([][]sequential.Sample, len(p.looks))
		for t, s := range p.looks {
			history[t] = make([]sequential.Sample, len(p.nodes))
			for n, name := range p.nodes {
				if c, ok := s.Experiment.Nodes[name]; ok {
					history[t][n] = sequential.Sample{Bad: c.Bad[edge], Total: max(c.Bad[edge], c.Total)}
				}
			}
		}
		noise, ok := sequential.EstimateNodeNoise(history)
		switch {
		case !ok:
			noise = atLeast(priorNoise(a), noise, "as there are few bad events")
		case len(p.nodes) < 2:
			noise = atLeast(standingNoise(a), noise, "as one node doesn't show by how much others differ from it")
		}
		noises[i] = noise
	}
	return noises, assumed
}

// pairs returns what rollouts of the same version would have shown, each as the
// samples of all its steps.
func (p past) pairs() [][]Sample {
	window := len(p.looks) / selfTestWindows
	var pairs [][]Sample
	if len(p.nodes) < 2 {
		for start := window; start+window <= len(p.looks); start += window {
			later, before := p.looks[start:start+window], p.looks[start-window:start]
			pairs = append(pairs, paired(later, later, before), paired(later, before, later))
		}
		return pairs
	}
	rng := rand.New(rand.NewPCG(1, uint64(len(p.nodes)))) // the same at each call
	for range selfTestSplits {
		side := make(map[string]bool, len(p.nodes))
		for i, n := range rng.Perm(len(p.nodes)) {
			side[p.nodes[n]] = i < len(p.nodes)/2
		}
		one, other := half(p.looks, side, true), half(p.looks, side, false)
		for start := 0; start+window <= len(p.looks); start += window {
			at, a, b := p.looks[start:start+window], one[start:start+window], other[start:start+window]
			pairs = append(pairs, paired(at, a, b), paired(at, b, a))
		}
	}
	return pairs
}

// paired makes one side of samples the experiment and another the control.
func paired(at, experiment, control []Sample) []Sample {
	pair := make([]Sample, len(at))
	for i := range pair {
		pair[i] = Sample{At: at[i].At, Experiment: experiment[i].Experiment, Control: control[i].Experiment}
	}
	return pair
}

// half returns the samples with the nodes of one side alone.
func half(looks []Sample, side map[string]bool, which bool) []Sample {
	halves := make([]Sample, len(looks))
	for i, s := range looks {
		nodes := make(map[string]Counts, len(side)/2+1)
		for name, c := range s.Experiment.Nodes {
			if is, known := side[name]; known && is == which {
				nodes[name] = c
			}
		}
		halves[i] = Sample{At: s.At, Experiment: Reading{Nodes: nodes}}
	}
	return halves
}

// alarms returns in how many of the pairs the judge would have raised an alarm.
func alarms(m spec.Metric, a spec.Analysis, b Background, pairs [][]Sample) (int, error) {
	told := 0
	for _, pair := range pairs {
		judge, err := newSequential(m, a, b)
		if err != nil {
			return 0, err
		}
		for _, s := range pair {
			judge.Observe(s)
			if judge.(interface{ evidence() float64 }).evidence() >= sequential.Threshold(a.Alpha) {
				told++
				break
			}
		}
	}
	return told, nil
}

// binomialQuantile returns the least k with at most so many successes in n trials
// having the probability q.
func binomialQuantile(n int, p, q float64) int {
	chance := math.Pow(1-p, float64(n))
	sum := chance
	k := 0
	for ; sum < q && k < n; k++ {
		chance *= float64(n-k) / float64(k+1) * p / (1 - p)
		sum += chance
	}
	return k
}

// found says what the self-test found.
func (p past) found(a spec.Analysis, b Background, assumed string, told, of int) string {
	most, incident := 0., false
	for _, n := range b.Noise {
		most, incident = max(most, n.Variance), incident || n.Incident
	}
	window := len(p.looks) / selfTestWindows
	share := math.Max(float64(len(p.nodes)/2), 1)
	differ := sequential.Noise{Variance: most * 2 / share}.StdDev(float64(window))
	what := "the pool at different times"
	if len(p.nodes) >= 2 {
		what = fmt.Sprintf("halves of its %d nodes", len(p.nodes))
	}
	why := fmt.Sprintf("self-test on %s of the live pool: %s differ by some %s over %s, and were told apart in %d of %d comparisons",
		span(p.took), what, percent(differ), span(time.Duration(window)*time.Duration(a.Interval)), told, of)
	if b.Widened > 1 {
		why += fmt.Sprintf(" once the noise was widened %v times", b.Widened)
	}
	if assumed != "" {
		why += fmt.Sprintf(", with an assumed noise of %.3g %%, %s", 100*a.Noise, assumed)
	}
	if incident {
		why += "; a stretch of the history that was many times as noisy as the rest is left out"
	}
	return why
}
