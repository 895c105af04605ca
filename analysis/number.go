package analysis

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"switchd/spec"
)

// quoted matches the strings of PromQL, in which a slash divides nothing.
var quoted = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'|`[^`]*`")

// isShare guesses whether the metric is a share, which people read as per cent:
// it divides, and it is neither a mean (a sum through a count) nor a quantile.
// Only the wording hangs on it.
func isShare(m spec.Metric) bool {
	q := quoted.ReplaceAllString(m.Query, "")
	return strings.Contains(q, "/") && !strings.Contains(q, "_sum") && !strings.Contains(q, "quantile")
}

// number writes a value for people, with its percentage if it is a share.
func number(v float64, share bool) string {
	return written(short(v), v, share)
}

// apart writes two values that differ so that the difference can be seen.
func apart(a, b float64, share bool) (string, string) {
	x, y := short(a), short(b)
	if x == y {
		x, y = strconv.FormatFloat(a, 'g', -1, 64), strconv.FormatFloat(b, 'g', -1, 64)
	}
	return written(x, a, share), written(y, b, share)
}

func written(text string, v float64, share bool) string {
	if !share || math.Abs(v) > 1 {
		return text
	}
	return fmt.Sprintf("%s (%s %%)", text, short(v*100))
}

func short(v float64) string {
	if a := math.Abs(v); a >= 1000 && a < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// span writes a duration for people.
func span(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%s s", strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64))
	}
	return d.Round(time.Second).String()
}
