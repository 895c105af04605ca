package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a dump of series may have at most.
const (
	MaxDump   = 4 << 30 // bytes; what is not selected is not kept
	MaxLine   = 1 << 20 // bytes
	MaxSeries = 100_000
	MaxPoints = 10_000_000
)

// Dump holds series over time.
type Dump struct {
	series []series
	points int
}

// series is one of them.
type series struct {
	labels map[string]string // with __name__
	points []point           // by time
}

// point is a value at a time, in milliseconds since 1970.
type point struct {
	at    int64
	value float64
}

// ReadDump reads series with timestamps in the OpenMetrics text format
// (https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md), as
// `promtool tsdb dump-openmetrics` writes them, in the text format of Prometheus
// (https://prometheus.io/docs/instrumenting/exposition_formats/), or as `promtool
// tsdb dump` does: a line a point, in any order. Timestamps are seconds in the
// first and milliseconds in the others; which is meant, their size tells. Series
// that keep does not want are left out. The lines # HELP, # TYPE and exemplars
// say nothing here.
func ReadDump(r io.Reader, file string, keep func(labels map[string]string) bool) (*Dump, error) {
	d := &Dump{}
	reading := dumpReader{d, keep, make(map[string]int), make(map[string]int)}
	lines := bufio.NewScanner(&atMost{r: r, left: MaxDump})
	lines.Buffer(make([]byte, 0, 64<<10), MaxLine)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "# EOF" {
			break
		}
		if line == "" || line[0] == '#' {
			continue
		}
		if err := reading.line(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%s:%d: the line has more than %d bytes", file, n+1, MaxLine)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i := range d.series {
		d.series[i].sort()
	}
	return d, nil
}

// dumpReader finds the series of each line.
type dumpReader struct {
	*Dump
	keep func(labels map[string]string) bool
	// written are the series by how lines write them, and known by their labels,
	// as the same may be written in several ways. Those left out are -1.
	written, known map[string]int
}

// line takes in one point.
func (d *dumpReader) line(line string) error {
	s := scanner{text: line}
	selector, err := s.selector()
	if err != nil {
		return err
	}
	key := line[:len(line)-len(s.text)]
	i, seen := d.written[key]
	if !seen {
		if len(d.written) == MaxSeries {
			return fmt.Errorf("there are more than %d series", MaxSeries)
		}
		if i, err = d.find(selector); err != nil {
			return err
		}
		d.written[strings.Clone(key)] = i
	}
	p, err := s.point()
	if err != nil || i < 0 {
		return err
	}
	if d.points++; d.points > MaxPoints {
		return fmt.Errorf("there are more than %d points of series that are asked for; choose a part with --min-time and --max-time when you dump them", MaxPoints)
	}
	d.series[i].points = append(d.series[i].points, p)
	return nil
}

// find returns the series of some labels, a new one if there is none.
func (d *dumpReader) find(selector Selector) (int, error) {
	labels, err := selector.labels()
	if err != nil {
		return 0, err
	}
	key := signature(labels)
	i, known := d.known[key]
	if !known {
		if i = -1; d.keep(labels) {
			i = len(d.series)
			d.series = append(d.series, series{labels: labels})
		}
		d.known[key] = i
	}
	return i, nil
}

// labels are those of a series, which has no conditions but =.
func (s Selector) labels() (map[string]string, error) {
	labels := make(map[string]string, len(s.Matchers)+1)
	if s.Name == "" {
		return nil, errors.New("a series has no name")
	}
	labels[nameOf] = strings.Clone(s.Name)
	for _, m := range s.Matchers {
		if m.Op != equal {
			return nil, fmt.Errorf("label %s: %q is not what a series has", m.Label, m.Op)
		}
		if _, twice := labels[m.Label]; twice {
			return nil, fmt.Errorf("label %s is there twice", m.Label)
		}
		labels[strings.Clone(m.Label)] = strings.Clone(m.Value)
	}
	return labels, nil
}

// point takes a value and its timestamp.
func (s *scanner) point() (point, error) {
	before, _, _ := strings.Cut(s.text, " # ") // an exemplar
	fields := strings.Fields(before)
	switch {
	case len(fields) == 1:
		return point{}, errors.New("the point has no timestamp; a replay needs to know when it was")
	case len(fields) != 2:
		return point{}, fmt.Errorf("want a value and a timestamp at %q", s.brief())
	}
	v, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return point{}, fmt.Errorf("%q is not a number", fields[0])
	}
	at, err := strconv.ParseFloat(fields[1], 64)
	const latest = 1 << 34 // in seconds, after the year 2500
	if err == nil && at <= latest {
		at *= 1000
	}
	if err != nil || !(at >= 0 && at <= latest*1000) {
		return point{}, fmt.Errorf("%q is not a timestamp", fields[1])
	}
	return point{at: int64(math.Round(at)), value: v}, nil
}

// sort orders the points by time; of several at one time the last counts.
func (s *series) sort() {
	slices.SortStableFunc(s.points, func(a, b point) int { return int(min(max(a.at-b.at, -1), 1)) })
	kept := s.points[:0]
	for _, p := range s.points {
		if n := len(kept); n > 0 && kept[n-1].at == p.at {
			kept[n-1] = p
			continue
		}
		kept = append(kept, p)
	}
	s.points = kept
}

// lookback is how old a point may be to count as the present one, as Prometheus
// has it by default.
const lookback = 5 * time.Minute

// last is the newest point at a time: not older than the lookback, and not a
// NaN, which is how a dump shows that a series had ended there.
func (s *series) last(at int64) (point, bool) {
	i := s.after(at) - 1
	if i < 0 || at-s.points[i].at >= lookback.Milliseconds() || math.IsNaN(s.points[i].value) {
		return point{}, false
	}
	return s.points[i], true
}

// Extent is the time of the first point and of the last one; false if there
// is none.
func (d *Dump) Extent() (from, to time.Time, ok bool) {
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for _, s := range d.series {
		if n := len(s.points); n > 0 {
			first, last = min(first, s.points[0].at), max(last, s.points[n-1].at)
		}
	}
	if first > last {
		return time.Time{}, time.Time{}, false
	}
	return time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC(), true
}
