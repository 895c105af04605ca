package main

import "math"

// measures are the values that judges other than ours are given, each a number
// a minute: the share of errors, and the p99 of the latencies.
const measures = 2

// values are those of a pool over some minutes; NaN where there is nothing.
type values [measures]float64

func unknown() values { return values{math.NaN(), math.NaN()} }

func (c counts) values() values {
	if c.total == 0 {
		return unknown()
	}
	return values{c.errors / c.total, c.quantile(0.99)}
}

// quantile is what Prometheus' histogram_quantile makes of the buckets: linear
// within one, and the last edge for what is beyond it.
func (c counts) quantile(q float64) float64 {
	beyond := (1 - q) * c.total
	lower, above := 0., c.total
	for i, edge := range edges {
		if c.slow[i] <= beyond {
			return lower + (edge-lower)*(above-beyond)/(above-c.slow[i])
		}
		lower, above = edge, c.slow[i]
	}
	return edges[len(edges)-1]
}

// window returns the values of a side over the minutes before and including the
// look at an index, of those that are known.
func (r *rollout) window(at, length int, side func(look) pool) values {
	var sum counts
	for i := max(0, at-length+1); i <= at; i++ {
		sum.add(side(r[i]).sum())
	}
	return sum.values()
}

func experiment(l look) pool { return l.experiment }
func control(l look) pool    { return l.control }
