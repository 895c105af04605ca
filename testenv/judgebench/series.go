package main

import (
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// counts are the requests of a node in a minute.
type counts struct {
	total, errors float64
	slow          [len(edges)]float64 // those that took longer than each edge
}

func (c *counts) add(o counts) {
	c.total += o.total
	c.errors += o.errors
	for i := range c.slow {
		c.slow[i] += o.slow[i]
	}
}

// pool is what a pool's nodes did in a minute; nil: nobody knows.
type pool []counts

// sum adds the nodes up.
func (p pool) sum() (c counts) {
	for _, node := range p {
		c.add(node)
	}
	return c
}

// look is a minute of both pools.
type look struct {
	experiment, control pool
	outage              bool // Prometheus doesn't answer
}

// rollout is what all judges get to see of one: an hour, minute by minute.
type rollout [minutes]look

// setting is where a rollout takes place.
type setting struct {
	world
	traffic float64 // requests a minute of the whole service
	weight  float64 // the new version's share of them
}

// past is what went before a rollout.
type past struct {
	looks []pool          // of the live pool, which had all the traffic
	moods [poolNodes]mood // of its nodes, when the rollout begins
	phase float64         // of the tide
}

// before draws the past of a rollout.
func (s setting) before(rng *rand.Rand) past {
	p := past{looks: make([]pool, history), phase: 7 * rng.Float64()}
	for i := range p.moods {
		p.moods[i] = s.first(rng)
	}
	for i := range p.looks {
		minute := i - history
		rates, traffic := s.tide(minute, p.phase)
		p.looks[i] = make(pool, poolNodes)
		for n := range p.looks[i] {
			p.moods[n] = s.next(rng, p.moods[n])
			e, l := s.factors(p.moods[n])
			p.looks[i][n] = draw(rng, traffic*s.traffic/poolNodes, rates*e, rates*l, 1)
		}
	}
	return p
}

// rollout draws what follows.
func (s setting) rollout(rng *rand.Rand, p past, f fault) *rollout {
	var r rollout
	var fresh [poolNodes]mood
	for i := range fresh {
		fresh[i] = s.first(rng)
	}
	lucky := rng.IntN(poolNodes)
	gone := rng.IntN(minutes)
	for minute := range r {
		rates, traffic := s.tide(minute, p.phase)
		requests := traffic * s.traffic / poolNodes
		l := look{experiment: make(pool, poolNodes), control: make(pool, poolNodes)}
		for n := range poolNodes {
			fresh[n], p.moods[n] = s.next(rng, fresh[n]), s.next(rng, p.moods[n])
			e, t := s.factors(p.moods[n])
			l.control[n] = draw(rng, (1-s.weight)*requests, rates*e, rates*t, 1)
			e, t = s.factors(fresh[n])
			bad := rates * s.fresh(minute)
			if s.outlier && n == lucky {
				bad *= outlier
			}
			more, tail := f.at(minute)
			l.experiment[n] = draw(rng, s.weight*requests, bad*e*more, bad*t, tail)
		}
		if s.gaps {
			l.outage = minute >= gone && minute < gone+outage
			if l.outage || rng.Float64() < gapShare {
				l.experiment = nil
			}
			if l.outage || rng.Float64() < gapShare {
				l.control = nil
			}
		}
		r[minute] = l
	}
	return &r
}

// draw draws a node's minute. The requests between two edges are independent
// of those between others, each a Poisson number, and their sum is one too.
func draw(rng *rand.Rand, requests, errors, latency, tail float64) (c counts) {
	longer := 0.
	for i := len(edges) - 1; i >= 0; i-- {
		share := slow[i] * latency
		if i >= tailEdge {
			share *= tail
		}
		share = max(longer, min(mostSlow, share))
		c.total += poisson(rng, requests*(share-longer))
		c.slow[i] = c.total
		longer = share
	}
	c.total += poisson(rng, requests*(1-longer))
	c.errors = min(c.total, poisson(rng, requests*errorShare*errors))
	return c
}

func poisson(rng *rand.Rand, mean float64) float64 {
	if mean <= 0 {
		return 0
	}
	return distuv.Poisson{Lambda: mean, Src: rng}.Rand()
}
