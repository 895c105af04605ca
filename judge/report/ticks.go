package report

import (
	"math"
	"strconv"
	"time"

	"gonum.org/v1/plot"
)

// clockTicks puts ticks at round times of day, UTC, on an axis in Unix seconds.
type clockTicks struct{ most int }

// Ticks implements plot.Ticker.
func (c clockTicks) Ticks(from, to float64) []plot.Tick {
	step, layout := clockStep(time.Duration((to-from)*float64(time.Second)) / time.Duration(c.most))
	var ticks []plot.Tick
	seconds := step.Seconds()
	for at := math.Ceil(from/seconds) * seconds; at <= to; at += seconds {
		ticks = append(ticks, plot.Tick{Value: at, Label: time.Unix(int64(at), 0).UTC().Format(layout)})
	}
	return ticks
}

// clockStep is the shortest round time that is not shorter, and how to write its
// multiples.
func clockStep(least time.Duration) (time.Duration, string) {
	const day = 24 * time.Hour
	for _, step := range []time.Duration{
		time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if step < least {
			continue
		}
		switch {
		case step < time.Minute:
			return step, time.TimeOnly
		case step < 6*time.Hour:
			return step, "15:04"
		}
		return step, "Jan 2 15:04"
	}
	days := max(time.Duration(1), (least+day-1)/day)
	return days * day, "Jan 2"
}

// valueTicks are a few round numbers, in per cent for shares.
type valueTicks struct{ share bool }

// Ticks implements plot.Ticker.
func (v valueTicks) Ticks(from, to float64) []plot.Tick {
	step := roundStep((to - from) / 4)
	var ticks []plot.Tick
	for n := math.Ceil(from / step); n*step <= to*(1+1e-9); n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: v.label(n*step, step)})
	}
	return ticks
}

// label writes a value with the decimals that its step needs.
func (v valueTicks) label(value, step float64) string {
	unit := ""
	if v.share {
		value, step, unit = value*100, step*100, " %"
	}
	if step >= 1e6 || step < 1e-6 {
		return strconv.FormatFloat(value, 'g', 3, 64) + unit
	}
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	return strconv.FormatFloat(value, 'f', decimals, 64) + unit
}

// roundStep is the smallest of 1, 2 and 5 times a power of ten that is not
// smaller.
func roundStep(least float64) float64 {
	if !(least > 0) || math.IsInf(least, 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, step := range []float64{1, 2, 5} {
		if step*power >= least {
			return step * power
		}
	}
	return 10 * power
}

// ratioTicks are ratios on an axis of logarithms to the base 2.
type ratioTicks struct{}

// Ticks implements plot.Ticker.
func (ratioTicks) Ticks(from, to float64) []plot.Tick {
	step := math.Max(1, math.Ceil((to-from)/5))
	var ticks []plot.Tick
	if to-from < 2 {
		step = 0.5
	}
	for n := math.Ceil(from / step); n*step <= to; n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: times(math.Exp2(n * step))})
	}
	return ticks
}

// times writes a ratio.
func times(ratio float64) string {
	return strconv.FormatFloat(ratio, 'g', 2, 64) + "×"
}

// oddsTicks are e-values on an axis of logarithms to the base 10.
type oddsTicks struct{}

// Ticks implements plot.Ticker.
func (oddsTicks) Ticks(from, to float64) []plot.Tick {
	step := math.Max(1, math.Ceil((to-from)/5))
	var ticks []plot.Tick
	for n := math.Ceil(from / step); n*step <= to; n++ {
		label := "10^" + strconv.FormatFloat(n*step, 'f', 0, 64)
		if math.Abs(n*step) <= 4 {
			label = strconv.FormatFloat(math.Pow(10, n*step), 'g', -1, 64)
		}
		ticks = append(ticks, plot.Tick{Value: n * step, Label: label})
	}
	return ticks
}
