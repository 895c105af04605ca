package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// report writes tables in Markdown.
type report struct {
	io.Writer

	bench *bench
	*results
}

func (r report) say(format string, args ...any) { _, _ = fmt.Fprintf(r, format+"\n", args...) } // to stdout or a buffer

// row writes one.
func (r report) row(cells ...string) { r.say("| %s |", strings.Join(cells, " | ")) }

// head writes a table's first two lines: a column a contender.
func (r report) head(first string) {
	columns := []string{first}
	for _, c := range r.bench.all {
		columns = append(columns, c.name())
	}
	r.row(columns...)
	r.say("|---|%s", strings.Repeat("---:|", len(columns)-1))
}

func (r report) write() {
	r.falseHalts()
	r.passes()
	r.faults(asIs)
	r.settings()
	for how := own; how < calibrations; how++ {
		r.faults(how)
	}
	r.summary()
}

// falseHalts are those as set up, in percent.
func (r report) falseHalts() {
	r.say("\n## Halts without a fault, as set up\n\nPercent of %d runs a cell, with the 95 %% interval of Clopper and Pearson.\n", r.bench.runs)
	r.head("setting")
	for _, c := range r.clean {
		row := []string{c.where()}
		for i := range r.bench.all {
			o := c.outcome(i, asIs)
			low, high := o.early.interval()
			row = append(row, fmt.Sprintf("%.1f (%.1f–%.1f)", 100*o.early.rate(), 100*low, 100*high))
		}
		r.row(row...)
	}
	worst, mean := []string{"worst"}, []string{"mean"}
	for i := range r.bench.all {
		w, m := r.falseRates(i)
		worst, mean = append(worst, percent(w)), append(mean, percent(m))
	}
	r.row(worst...)
	r.row(mean...)
}

// falseRates returns the worst and the mean rate of false halts of a contender
// as set up.
func (r *results) falseRates(contender int) (worst, mean float64) {
	for _, c := range r.clean {
		rate := c.outcome(contender, asIs).early.rate()
		worst, mean = max(worst, rate), mean+rate/float64(len(r.clean))
	}
	return worst, mean
}

// passes tells how good versions fare with us.
func (r report) passes() {
	r.say("\n## How switchd passes versions without a fault\n")
	r.row("setting", "passed at some look", "median minutes", "undecided at the end")
	r.say("|---|---:|---:|---:|")
	for _, c := range r.clean {
		o := c.outcome(0, asIs)
		r.row(c.where(), percent(o.passed.rate()), minutesOf(o.passMedian), percent(o.undecided.rate()))
	}
	r.say("\nOf the metrics, %s failed their self-test (%d of %d).", percent(share{r.refused, r.tested}.rate()), r.refused, r.tested)
}

// settings tells where the knobs are.
func (r report) settings() {
	r.say("\n## Where the knobs are for %s of false halts\n", percent(r.bench.rate))
	r.row("judge", "mean of settings", "worst setting", "settings in which none helps")
	r.say("|---|---:|---:|---|")
	for i, k := range r.knobs {
		var hopeless []string
		for _, at := range k.hopeless {
			hopeless = append(hopeless, r.clean[at].where())
		}
		r.row(r.bench.all[i].name(), fmt.Sprintf("%.2f", k.mean), fmt.Sprintf("%.2f", k.worst), strings.Join(hopeless, "; "))
	}
	r.say("\nswitchd: log of the e-value (as set up %.2f); kayenta: quantile of the confidence (%.2f); argo and flagger: bound, in standard deviations above the usual value. "+
		"The world of the outlier counts for no judge here, as only switchd knows of nodes; a setting in which no knob helps doesn't count for its judge.", -math.Log(r.bench.analysis.Alpha), kayentaNominal)
}

// faults are delays and misses under a calibration.
func (r report) faults(how calibration) {
	r.say("\n## Faults, calibrated: %s\n\nMinutes from the onset to the halt, median/p90, the percentage that was missed, and the mean number of bad requests served; – where so many were missed.\n", how)
	r.head("setting and fault")
	for _, cells := range r.faulty {
		for _, c := range cells {
			row := []string{c.where() + ", " + c.fault.String()}
			for i := range r.bench.all {
				o := c.outcome(i, how)
				row = append(row, fmt.Sprintf("%s/%s, %.0f, %.0f", minutesOf(o.median), minutesOf(o.p90), 100*o.missed.rate(), o.bad))
			}
			r.row(row...)
		}
	}
}

// summary compares with the other judges, and says where we lose.
func (r report) summary() {
	r.say("\n## Bad requests served before the halt, switchd's in units of the others'\n\n" +
		"Geometric means over the faults. In hindsight: against whoever is the best at each fault, which nobody can know before. " +
		"Seen: those faults only of which either finds half.\n")
	columns := []string{"calibration"}
	for _, rival := range rivals(r.bench.all) {
		columns = append(columns, r.bench.all[rival].name())
	}
	r.row(append(columns, "in hindsight", "seen", "least", "most", "faults lost")...)
	r.say("|---%s|", strings.Repeat("|---:", len(columns)+4))
	for how := range calibrations {
		row := []string{how.String()}
		for _, rival := range rivals(r.bench.all) {
			row = append(row, fmt.Sprintf("%.2f", geometric(r.duels(r.bench.all, rival, how))))
		}
		duels := r.hindsight(r.bench.all, how)
		seen := slices.DeleteFunc(slices.Clone(duels), func(d duel) bool { return !d.seen() })
		least, most, lost := math.Inf(1), 0., 0
		for _, d := range duels {
			least, most = min(least, d.ratio()), max(most, d.ratio())
			if d.ratio() > 1 {
				lost++
			}
		}
		r.row(append(row, fmt.Sprintf("%.2f", geometric(duels)), fmt.Sprintf("%.2f (%d)", geometric(seen), len(seen)),
			fmt.Sprintf("%.2f", least), fmt.Sprintf("%.2f", most), fmt.Sprintf("%d of %d", lost, len(duels)))...)
	}
	for how := own; how < calibrations; how++ {
		r.say("\nWhere switchd serves more bad requests than the best in hindsight, calibrated: %s\n", how)
		for _, d := range r.hindsight(r.bench.all, how) {
			if d.ratio() > 1.005 {
				r.say("- %s, %s: %.2f of %s (median %s against %s min)", d.cell.where(), d.cell.fault, d.ratio(), d.rival,
					minutesOf(d.ours.median), minutesOf(d.other.median))
			}
		}
	}
}

// where names the setting.
func (s setting) where() string {
	return fmt.Sprintf("%s, %s/min, %s %%", s.name, number(s.traffic), number(100*s.weight))
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func percent(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }

// minutesOf shows a time that may never come.
func minutesOf(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return number(v)
}
