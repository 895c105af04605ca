package judge

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Trail is the way of an analysis in points that can be plotted.
type Trail struct {
	// Limit is the log e-value from which on there is an alarm, 0 without a
	// sequential metric, and Together the way of all of them to it.
	Limit    float64         `json:"limit,omitempty"`
	Together Path            `json:"together,omitempty"`
	Metrics  map[string]Path `json:"metrics,omitempty"`
}

// Path is a way in the order of time. The first mark is that of the first look
// alone, and the last one ends with the newest look; between them, each stands
// for as many looks as it takes to keep their number bounded.
type Path []Mark

// Mark is one point of a path. What there is none of is NaN.
type Mark struct {
	At    time.Time // end of the newest look it stands for
	Looks int       // looks that it stands for
	Gaps  int       // those without data
	// Experiment and Control are the sides' values, the means of its looks: a
	// query's value, or the share of bad events, of the first edge.
	Experiment, Control float64
	// Ratio, Lower and Upper are the estimate and its band, and LogE is the
	// evidence, by its newest look.
	Ratio, Lower, Upper, LogE float64
}

// blank is a mark that has nothing yet.
func blank(at time.Time) Mark {
	none := math.NaN()
	return Mark{At: at.UTC(), Looks: 1, Experiment: none, Control: none, Ratio: none, Lower: none, Upper: none, LogE: none}
}

// maxMarks bounds the marks of all paths together, so that they take up about
// half of what a rollout's record is to hold; leastMarks is what a path has
// whatever the number of metrics.
const (
	maxMarks   = 960
	mostMarks  = 240
	leastMarks = 4
)

// marksOf is the number of marks that each of n paths may have.
func marksOf(n int) int { return min(max(maxMarks/n, leastMarks), mostMarks) }

// add goes on with one look. When the path is full, marks are merged two by two.
func (p *Path) add(m Mark, most int) {
	path := *p
	every := 1 // looks in a mark that is complete: the first one after the first
	if len(path) > 1 {
		every = path[1].Looks
	}
	if n := len(path); n > 2 && path[n-1].Looks < every {
		path[n-1] = path[n-1].and(m)
	} else {
		path = append(path, m)
	}
	for len(path) > most {
		merged := path[:1]
		for i := 1; i < len(path); i += 2 {
			if i+1 < len(path) {
				merged = append(merged, path[i].and(path[i+1]))
			} else {
				merged = append(merged, path[i])
			}
		}
		path = merged
	}
	*p = path
}

// check refuses a path that was not written here.
func (p Path) check() error {
	if len(p) > mostMarks {
		return fmt.Errorf("a path has %d marks, at most %d are kept", len(p), mostMarks)
	}
	for i := 1; i < len(p); i++ {
		if !p[i].At.After(p[i-1].At) {
			return errors.New("the marks of a path are not in the order of time")
		}
	}
	return nil
}

// and merges a mark with the next one.
func (m Mark) and(next Mark) Mark {
	a, b := float64(m.Looks-m.Gaps), float64(next.Looks-next.Gaps)
	next.Experiment = mean(m.Experiment, a, next.Experiment, b)
	next.Control = mean(m.Control, a, next.Control, b)
	next.Looks += m.Looks
	next.Gaps += m.Gaps
	return next
}

// mean is that of two weighted values, of which either may be missing.
func mean(x, a, y, b float64) float64 {
	switch {
	case math.IsNaN(x) || a == 0:
		return y
	case math.IsNaN(y) || b == 0:
		return x
	}
	return (a*x + b*y) / (a + b)
}

// MarshalJSON writes [seconds since 1970, looks, gaps, experiment, control, ratio,
// lower, upper, log e], with null for what there is none of or that is as good as infinite,
// and five digits of the others: it is for plots.
func (m Mark) MarshalJSON() ([]byte, error) {
	out := strconv.AppendFloat([]byte{'['}, float64(m.At.UnixMilli())/1000, 'f', -1, 64)
	out = strconv.AppendInt(append(out, ','), int64(m.Looks), 10)
	out = strconv.AppendInt(append(out, ','), int64(m.Gaps), 10)
	for _, v := range m.numbers() {
		out = append(out, ',')
		if !(math.Abs(*v) < maxMark) {
			out = append(out, "null"...)
		} else {
			out = strconv.AppendFloat(out, *v, 'g', 5, 64)
		}
	}
	return append(out, ']'), nil
}

// numbers are the mark's values in the order in which they are written.
func (m *Mark) numbers() [6]*float64 {
	return [...]*float64{&m.Experiment, &m.Control, &m.Ratio, &m.Lower, &m.Upper, &m.LogE}
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *Mark) UnmarshalJSON(data []byte) error {
	var fields []*float64
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	numbers := m.numbers()
	if len(fields) != 3+len(numbers) {
		return fmt.Errorf("a mark has %d numbers, not %d", 3+len(numbers), len(fields))
	}
	at, looks, gaps := fields[0], fields[1], fields[2]
	if at == nil || looks == nil || gaps == nil || math.Abs(*at) > maxSeconds ||
		!(*looks >= 1 && *looks <= maxLooks && *gaps >= 0 && *gaps <= *looks) || *looks != math.Trunc(*looks) || *gaps != math.Trunc(*gaps) {
		return errors.New("a mark begins with its time, its looks and how many of them were gaps")
	}
	m.At = time.UnixMilli(int64(math.Round(*at * 1000))).UTC()
	m.Looks, m.Gaps = int(*looks), int(*gaps)
	for i, v := range fields[3:] {
		*numbers[i] = math.NaN()
		if v != nil {
			*numbers[i] = *v
		}
	}
	return nil
}

// What a mark's numbers stay below: the year 9999, more looks than anyone waits
// for, and values that no plot has room for and that five digits would make infinite.
const (
	maxSeconds = 253402300799
	maxLooks   = 1 << 40
	maxMark    = 1e300
)
