//go:build linux

package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// result is an outcome with its place, beside the link that was measured in the
// same run.
type result struct {
	name       string
	nodes, run int
	outcome
	ratio  float64 // of last to the floor
	copies float64 // of the file that the seed has sent
}

// String is the line of one result.
func (r result) String() string {
	return fmt.Sprintf("%-10s  last node %6.1f s, %5.2f × floor, seed sent %5.2f ×, CPU busy %3.0f %%, its own %3.0f %%", r.name, r.last.Seconds(), r.ratio, r.copies, r.busy*100, r.own()*100)
}

// own returns the share of the machine's time that the contender's programs
// took.
func (r result) own() float64 {
	return (r.seedCPU + r.nodeCPU).Seconds() / (r.last.Seconds() * float64(runtime.NumCPU()))
}

// report collects results.
type report struct {
	scenarios []scenario
	names     []string
	results   []result
	discarded []string
}

// busyLimit is the share of the machine's time beyond which the machine, and
// not the links, may be what was measured.
const busyLimit = 0.85

// of returns the results of one contender in one scenario.
func (r *report) of(name string, nodes int) []result {
	return slices.DeleteFunc(slices.Clone(r.results), func(x result) bool { return x.name != name || x.nodes != nodes })
}

// print writes the table and the figures.
func (r *report) print(w io.Writer) {
	r.table(w)
	fmt.Fprintf(w, "\nMedians. Floor: the file's size by the payload rate of one plain transfer over one link in the same run. Seed sent:\n"+
		"bytes on the wire by those of one plain transfer of the file. Memory: the most of any node, with the file pages that it\n"+
		"has mapped. CPU busy: of this machine's %d cores by everything that ran, and by the contender's programs; above %.0f %%\n"+
		"the links may not have been the limit.\n", runtime.NumCPU(), busyLimit*100)
	for _, x := range r.results {
		if x.busy > busyLimit {
			fmt.Fprintf(w, "!!! THE MACHINE WAS BUSY (%.0f %%, %.0f %% by the contender): %s at %d nodes in run %d\n", x.busy*100, x.own()*100, x.name, x.nodes, x.run+1)
		}
	}
	for _, d := range r.discarded {
		fmt.Fprintf(w, "!!! DISCARDED: %s\n", d)
	}
	fmt.Fprintln(w)
	for _, f := range r.figures() {
		fmt.Fprintf(w, "figure: %s %.3f\n", f.name, f.value)
	}
}

func (r *report) table(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, strings.Join([]string{"nodes", "size", "rate", "contender", "runs", "last node s", "× floor", "seed sent ×", "CPU s seed", "a node", "MiB seed", "a node", "CPU busy %", "its own", ""}, "\t"))
	for _, s := range r.scenarios {
		for _, name := range r.names {
			all := r.of(name, s.nodes)
			if len(all) == 0 {
				continue
			}
			column := func(value func(result) float64) float64 { return medianOf(all, value) }
			fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%d\t%.1f\t%.2f\t%.2f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", s.nodes, s.size, s.rate, name, len(all),
				column(func(x result) float64 { return x.last.Seconds() }),
				column(func(x result) float64 { return x.ratio }),
				column(func(x result) float64 { return x.copies }),
				column(func(x result) float64 { return x.seedCPU.Seconds() }),
				column(func(x result) float64 { return x.nodeCPU.Seconds() / float64(x.nodes) }),
				column(func(x result) float64 { return float64(x.seedPeak) / (1 << 20) }),
				column(func(x result) float64 { return float64(x.maxPeak) / (1 << 20) }),
				column(func(x result) float64 { return x.busy * 100 }),
				column(func(x result) float64 { return x.own() * 100 }))
		}
	}
	_ = table.Flush() // To print for a person has nobody to report to when it fails.
}

// figure is a number for comparisons between versions.
type figure struct {
	name  string
	value float64
}

// figures returns switchd's ratio to the floor, its time by that of the others
// in the same run, and the copies that its seed has sent.
func (r *report) figures() []figure {
	var all []figure
	for _, s := range r.scenarios {
		ours := r.of("switchd", s.nodes)
		if len(ours) == 0 {
			continue
		}
		name := fmt.Sprintf("swarm.%d.", s.nodes)
		all = append(all, figure{name + "ratio_to_ideal", medianOf(ours, func(x result) float64 { return x.ratio })})
		for _, other := range r.names {
			theirs := r.of(other, s.nodes)
			var by []float64
			for _, x := range ours {
				if i := slices.IndexFunc(theirs, func(y result) bool { return y.run == x.run }); i >= 0 {
					by = append(by, x.last.Seconds()/theirs[i].last.Seconds())
				}
			}
			if other != "switchd" && len(by) > 0 {
				all = append(all, figure{name + "vs_" + other, median(by)})
			}
		}
		all = append(all, figure{name + "seed_copies", medianOf(ours, func(x result) float64 { return x.copies })})
	}
	return all
}

// failure tells whether something had to be discarded.
func (r *report) failure() error {
	if len(r.discarded) > 0 {
		return fmt.Errorf("%d of %d trials had to be discarded: %s", len(r.discarded), len(r.discarded)+len(r.results), strings.Join(r.discarded, ", "))
	}
	return nil
}

func medianOf(all []result, value func(result) float64) float64 {
	values := make([]float64, len(all))
	for i, x := range all {
		values[i] = value(x)
	}
	return median(values)
}

// median returns the middle of at least one value, or the mean of the two
// there.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
