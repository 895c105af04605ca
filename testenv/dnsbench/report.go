//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// report collects what was measured.
type report struct {
	servers []string
	begin   time.Time
	values  map[string]map[string][]float64 // by server and measurement, a value a round
}

func newReport(servers []string) *report {
	return &report{servers: servers, begin: time.Now(), values: map[string]map[string][]float64{}}
}

// say tells on stderr what is being done.
func (r *report) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(r.begin).Seconds(), fmt.Sprintf(format, args...))
}

func (r *report) add(server, what string, value float64) {
	if r.values[server] == nil {
		r.values[server] = map[string][]float64{}
	}
	r.values[server][what] = append(r.values[server][what], value)
}

// column is one of the table.
type column struct {
	title, what string
	unit        float64 // of a cell
	digits      int
	noise       bool // tell the least and the most, too
}

func columns() []column {
	return []column{
		{"chain, k queries/s", chain + ".qps", 1000, 1, true},
		{"CPU µs", chain + ".us", 1, 2, false},
		{"random, k queries/s", random + ".qps", 1000, 1, true},
		{"CPU µs", random + ".us", 1, 2, false},
		{"chain with cookies", "cookie.qps", 1000, 1, true},
		{"CPU µs", "cookie.us", 1, 2, false},
		{"dnsperf, chain", "dnsperf.chain.qps", 1000, 1, true},
		{"dnsperf, random", "dnsperf.random.qps", 1000, 1, true},
		{"p50 µs at the rate", "p50", 1, 0, true},
		{"p99 µs", "p99", 1, 0, true},
		{"both cores, k queries/s", "both.qps", 1000, 1, false},
		{"CPU µs", "both.us", 1, 2, false},
		{"start s", "start", 1, 2, false},
		{"KiB per 1,000 names", "memory", 1, 0, false},
	}
}

// print writes a table in Markdown, what was lost, and the figures.
func (r *report) print(w io.Writer) {
	fmt.Fprint(w, "| server |")
	for _, c := range columns() {
		fmt.Fprintf(w, " %s |", c.title)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---:|", len(columns())))
	for _, server := range r.servers {
		fmt.Fprintf(w, "| %s |", server)
		for _, c := range columns() {
			fmt.Fprintf(w, " %s |", c.cell(r.values[server][c.what]))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, `
Medians of the rounds, in brackets the least and the most. The server has one core, the client another; on both cores they
compete. CPU µs: the server's time, user and system, for one query. Every answer was checked, but for those to dnsperf, which
is slower than the fastest servers. Random: one name of ten doesn't exist.`)
	for _, server := range r.servers {
		for _, what := range []string{chain, random, "cookie", "dnsperf." + chain, "dnsperf." + random, "paced", "both"} {
			if lost := total(r.values[server][what+".lost"]); lost > 0 {
				fmt.Fprintf(w, "!!! %s lost %.0f answers (%s)\n", server, lost, what)
			}
		}
		if late := r.values[server]["late"]; len(late) > 0 && slices.Max(late) > 1000 {
			fmt.Fprintf(w, "!!! the sender was up to %.0f µs late with %s: the machine was busy\n", slices.Max(late), server)
		}
	}
	fmt.Fprintln(w)
	for _, f := range r.figures() {
		fmt.Fprintf(w, "figure: %s %.3f\n", f.name, f.value)
	}
}

func (c column) cell(values []float64) string {
	if len(values) == 0 {
		return "–"
	}
	cell := fmt.Sprintf("%.*f", c.digits, median(values)/c.unit)
	if c.noise && len(values) > 1 {
		cell += fmt.Sprintf(" (%.*f–%.*f)", c.digits, slices.Min(values)/c.unit, c.digits, slices.Max(values)/c.unit)
	}
	return cell
}

// figure is a number for comparisons between versions.
type figure struct {
	name  string
	value float64
}

// figures are those of switchd. A ratio is the median of the rounds' ratios.
func (r *report) figures() []figure {
	var all []figure
	ratio := func(set, other string) {
		ours, theirs := r.values[switchd][set+".qps"], r.values[other][set+".qps"]
		var by []float64
		for i := range min(len(ours), len(theirs)) {
			by = append(by, ours[i]/theirs[i])
		}
		if len(by) > 0 {
			all = append(all, figure{"dns." + set + ".qps_vs_" + strings.ReplaceAll(strings.ToLower(other), "+", "_"), median(by)})
		}
	}
	for _, other := range r.servers {
		if other == switchd {
			continue
		}
		for _, set := range []string{chain, random, "cookie", "dnsperf." + chain, "dnsperf." + random} {
			ratio(set, other)
		}
	}
	one := func(name, what string, of func([]float64) float64) {
		if values := r.values[switchd][what]; len(values) > 0 {
			all = append(all, figure{name, of(values)})
		}
	}
	one("dns.chain.qps", chain+".qps", median)
	one("dns.random.qps", random+".qps", median)
	one("dns.allocs_per_query", "allocs", slices.Max[[]float64])
	one("dns.p50_us_at_10k", "p50", median)
	one("dns.p99_us_at_10k", "p99", median)
	one("dns.start_s_1m", "start", median)
	one("dns.kib_per_1000_names", "memory", median)
	one("dns.flip_visible_ms_p50", "flip.p50", median)
	one("dns.flip_visible_ms_p99", "flip.p99", median)
	one("dns.flip_lost", "flip.lost", total)
	one("dns.flip_old_after_new", "flip.stale", total)
	return all
}

// median returns the middle of at least one value, or the mean of the two
// there.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func total(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum
}
