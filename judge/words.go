package judge

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"switchd/spec"
)

// What the two sides of a comparison are called in sentences. A Panel that knows
// their names, such as green and blue, puts these in their places.
const (
	ExperimentSide = "the new version"
	ControlSide    = "the live one"
)

// quoted matches the strings of PromQL, in which a slash divides nothing.
var quoted = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'|`[^`]*`")

// isShare tells whether the metric is a share, which people read as per cent:
// bad events are one, and a query is guessed to be one if it divides and is
// neither a mean (a sum through a count) nor a quantile. Only the wording hangs
// on it.
func isShare(m spec.Metric) bool {
	if m.Query == "" {
		return true
	}
	q := quoted.ReplaceAllString(m.Query, "")
	return strings.Contains(q, "/") && !strings.Contains(q, "_sum") && !strings.Contains(q, "quantile")
}

// describe writes a value beside the bound that matters: the one that it is
// beyond, or else those that there are.
func describe(m spec.Metric, v float64) string {
	share := isShare(m)
	switch {
	case m.Max != nil && v > *m.Max:
		got, bound := apart(v, *m.Max, share)
		return fmt.Sprintf("%s, allowed at most %s", got, bound)
	case m.Min != nil && v < *m.Min:
		got, bound := apart(v, *m.Min, share)
		return fmt.Sprintf("%s, allowed at least %s", got, bound)
	case m.Min != nil && m.Max != nil:
		return fmt.Sprintf("%s, allowed %s to %s", number(v, share), number(*m.Min, share), number(*m.Max, share))
	case m.Min != nil:
		return fmt.Sprintf("%s, allowed at least %s", number(v, share), number(*m.Min, share))
	case m.Max != nil:
		return fmt.Sprintf("%s, allowed at most %s", number(v, share), number(*m.Max, share))
	default:
		return number(v, share)
	}
}

// number writes a value for people, with its percentage if it is a share.
func number(v float64, share bool) string { return written(Short(v), v, share) }

// apart writes two values that differ so that the difference can be seen.
func apart(a, b float64, share bool) (string, string) {
	x, y := Short(a), Short(b)
	if x == y {
		x, y = strconv.FormatFloat(a, 'g', -1, 64), strconv.FormatFloat(b, 'g', -1, 64)
	}
	return written(x, a, share), written(y, b, share)
}

func written(text string, v float64, share bool) string {
	if !share || math.Abs(v) > 1 {
		return text
	}
	return fmt.Sprintf("%s (%s %%)", text, Short(v*100))
}

// Short writes a number with four digits, or all of those before the point.
func Short(v float64) string {
	if a := math.Abs(v); a >= 1000 && a < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// span writes a duration for people: "6 s", "7 min", "2 h 5 min".
func span(d time.Duration) string {
	if d < time.Minute {
		return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
	}
	d = d.Round(time.Second)
	var parts []string
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}} {
		if n := d / unit.length; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, unit.name))
			d -= n * unit.length
		}
	}
	return strings.Join(parts[:min(len(parts), 2)], " ")
}

// Count writes a number of requests with commas: "41,200".
func Count(n float64) string { return humanize.Comma(int64(math.Round(n))) }

// plural writes a number of things: "1 look", "2 looks".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// list joins names as people do: "a", "a and b", "a, b and c".
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
