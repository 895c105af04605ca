package report

import (
	"math"
	"strconv"
	"strings"

	"switchd/judge"
)

// none stands for what is not known.
const none = "–"

// why is what was found, without the metric's name, which stands above it.
func (m Metric) why() string {
	return strings.TrimPrefix(m.Finding.Why, m.Finding.Metric+": ")
}

// short writes a number with as many digits as can be read at a glance.
func short(v float64) string {
	if math.IsNaN(v) {
		return none
	}
	if math.IsInf(v, 0) {
		return "∞"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// value writes a metric's value.
func (m Metric) value(v float64) string {
	if !m.Share || math.IsNaN(v) {
		return short(v)
	}
	return short(v*100) + " %"
}

func bandText(lower, upper float64) string {
	if math.IsNaN(lower) || upper == 0 || lower == 0 && !(upper < math.Inf(1)) {
		return none
	}
	return strconv.FormatFloat(lower, 'g', 3, 64) + " to " + cut(upper)
}

func cut(upper float64) string {
	if !(upper < math.Inf(1)) { // a kept trail has no infinity
		return "∞"
	}
	return strconv.FormatFloat(upper, 'g', 3, 64)
}

// evidenceText writes an e-value, which can be astronomical.
func evidenceText(logE float64) string {
	if math.IsNaN(logE) {
		return none
	}
	const readable = 10 // about 22,000
	if logE > readable {
		return "10^" + strconv.FormatFloat(logE/math.Ln10, 'f', 1, 64)
	}
	return strconv.FormatFloat(math.Exp(logE), 'g', 3, 64)
}

// ratioText is the estimate with its band.
func ratioText(f judge.Finding) string {
	if f.Ratio == 0 && f.Band.Upper == 0 {
		return none
	}
	text := strconv.FormatFloat(f.Ratio, 'g', 3, 64)
	if band := bandText(f.Band.Lower, f.Band.Upper); band != none {
		text += " (" + band + ")"
	}
	return text
}

// thousands writes a number of requests with commas.
func thousands(n float64) string {
	if n == 0 {
		return none
	}
	return judge.Count(n)
}
