package replay

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchd/spec"
)

// What a file may have at most.
const (
	MaxFile    = 256 << 20 // bytes
	MaxMetrics = 1000
	MaxNodes   = 1000 // of one side
	MaxEdges   = 64   // of one histogram
)

// Kind is what a metric's samples are made of.
type Kind string

// The kinds, which decide by what judge a metric can be judged.
const (
	Values  Kind = "values"  // one number a side
	Counts  Kind = "counts"  // bad ones of all events
	Buckets Kind = "buckets" // a histogram: events slower than each edge
	Named   Kind = "named"   // several numbers a side, by name
)

// KindOf is the kind of samples that a metric is made for.
func KindOf(m spec.Metric) Kind {
	switch {
	case m.Buckets != "":
		return Buckets
	case m.Total != "":
		return Counts
	case len(m.Queries) > 0:
		return Named
	default:
		return Values
	}
}

// Metric is what a recording has of one metric.
type Metric struct {
	Name string
	Kind Kind
	// Edges are those of a histogram, ascending, without +Inf.
	Edges []float64
	// Alone says why the two sides can't be compared, such as that one of them has
	// nothing; "" if they can.
	Alone string

	compared bool // the control has readings as well
	width    int  // numbers of bad events in a sample, 0 if none was seen
	sides    sides
}

// Recording is a file of samples.
type Recording struct {
	// Metrics are sorted by name.
	Metrics []Metric
	// Step is the shortest time between two looks, 0 if there is one only.
	Step     time.Duration
	Looks    int
	From, To time.Time // of the first look and the last one
	// Notes are what looks odd.
	Notes []string

	file  string
	looks func(metrics []spec.Metric) Looks
}

// sides are the times at which the two sides were seen in a table.
type sides struct {
	last   [2]time.Time // of the experiment and the control
	paired bool         // both were seen at one time
}

func (s *sides) saw(at time.Time, experiment bool) {
	mine, other := 0, 1
	if !experiment {
		mine, other = 1, 0
	}
	s.last[mine] = at
	s.paired = s.paired || s.last[other].Equal(at)
}

// alone says why the sides can't be compared.
func (s *sides) alone(names Sides) string {
	switch {
	case s.last[0].IsZero():
		return fmt.Sprintf("no row is of the experiment (or %s); --experiment names its side", names.Experiment)
	case s.last[1].IsZero():
		return fmt.Sprintf("no row is of the control (or %s); --control names its side, and only bounds (--min, --max) need none", names.Control)
	case !s.paired:
		return "no time has rows of both sides; round the times so that both have the same ones"
	}
	return ""
}

// Sides are the names of the two sides in a recording; "experiment" and
// "control" always do, in any case.
type Sides struct{ Experiment, Control string }

// experiment tells which side a name is.
func (s Sides) experiment(name string) (experiment, ok bool) {
	is := func(other string) bool { return strings.EqualFold(name, other) }
	switch {
	case is("experiment"), is(s.Experiment):
		return true, true
	case is("control"), is(s.Control):
		return false, true
	}
	return false, false
}

// knows tells whether a name is that of a side.
func (s Sides) knows(name string) bool {
	_, ok := s.experiment(name)
	return ok
}

// String names both.
func (s Sides) String() string { return s.Experiment + " and " + s.Control }

func (s Sides) refuse(name string) error {
	return fmt.Errorf("the side is %q, want experiment (or %s) or control (or %s); --experiment and --control name the pools", name, s.Experiment, s.Control)
}

// Replay returns the recording's looks as the given metrics need them, the
// steps that it left out as gaps. It refuses a metric that the recording has
// not, or in another kind.
func (r *Recording) Replay(metrics []spec.Metric) (Looks, error) {
	for _, m := range metrics {
		i := slices.IndexFunc(r.Metrics, func(have Metric) bool { return have.Name == m.Name })
		if i < 0 {
			return nil, fmt.Errorf("%s has no metric %q; it has %s", r.file, m.Name, r.names())
		}
		if have := r.Metrics[i]; have.Kind != KindOf(m) {
			return nil, fmt.Errorf("%s has %s for metric %q, which the configuration judges by %s", r.file, have.Kind, m.Name, KindOf(m))
		} else if have.Alone != "" && (m.Judge == spec.JudgeSequential || m.Judge == spec.JudgeMannWhitney) {
			return nil, fmt.Errorf("%s: metric %q can't be compared, as the judge %s does: %s", r.file, m.Name, m.Judge, have.Alone)
		} else if err := have.hasEdges(m.Edges, r.file); err != nil {
			return nil, err
		}
	}
	return Whole(r.looks(metrics), metrics, r.Step), nil
}

func (r *Recording) names() string {
	names := make([]string, 0, len(r.Metrics))
	for _, m := range r.Metrics {
		names = append(names, strconv.Quote(m.Name))
	}
	return strings.Join(names, ", ")
}

func (m Metric) hasEdges(edges []float64, file string) error {
	if m.Edges == nil { // the file doesn't tell them
		return nil
	}
	for _, edge := range edges {
		if !slices.Contains(m.Edges, edge) {
			return fmt.Errorf("%s has no bucket of metric %q that ends at %v; it has %s", file, m.Name, edge, numbers(m.Edges))
		}
	}
	return nil
}

func numbers(values []float64) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strings.Join(texts, ", ")
}

// outline gathers what a recording has while it is read for the first time.
type outline struct {
	metrics  map[string]*Metric
	from, to time.Time
	step     time.Duration
	looks    int
}

// saw notes a look.
func (o *outline) saw(at time.Time) error {
	if o.looks > 0 && at.Equal(o.to) {
		return nil
	}
	if o.looks == 0 {
		o.from = at
	} else if gap := at.Sub(o.to); gap < 0 {
		return fmt.Errorf("time goes back, from %s to %s; sort the file by time", stamp(o.to), stamp(at))
	} else if o.step == 0 || gap < o.step {
		o.step = gap
	}
	o.to = at
	o.looks++
	if o.looks > MaxLooks {
		return fmt.Errorf("there are more than %d looks; split the file", MaxLooks)
	}
	return nil
}

// metric returns what is known of a metric.
func (o *outline) metric(name string, kind Kind) (*Metric, error) {
	m := o.metrics[name]
	if m == nil {
		if !named(name) {
			return nil, fmt.Errorf("metric %q: want a name as an analysis has it, of a-z, 0-9 and inner \"-\", at most 63 characters; rename it", name)
		}
		if len(o.metrics) == MaxMetrics {
			return nil, fmt.Errorf("there are more than %d metrics", MaxMetrics)
		}
		m = &Metric{Name: name, Kind: kind}
		if o.metrics == nil {
			o.metrics = make(map[string]*Metric)
		}
		o.metrics[name] = m
	}
	if m.Kind == "" {
		m.Kind = kind
	}
	if kind != "" && m.Kind != kind {
		return nil, fmt.Errorf("metric %q has %s here and %s before", name, kind, m.Kind)
	}
	return m, nil
}

// named tells whether an analysis could have a metric of that name.
func named(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	return name != "" && len(name) <= 63 && strings.Trim(name, letters+"-") == "" && strings.Trim(name, "-") == name
}

func (o *outline) recording(file string, looks func([]spec.Metric) Looks) (*Recording, error) {
	r := &Recording{Step: o.step, Looks: o.looks, From: o.from, To: o.to, file: file, looks: looks}
	for _, m := range o.metrics {
		if m.Kind == "" {
			continue // never anything but gaps
		}
		r.Metrics = append(r.Metrics, *m)
	}
	slices.SortFunc(r.Metrics, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	if len(r.Metrics) == 0 {
		return nil, fmt.Errorf("%s has no samples", file)
	}
	if r.Step == 0 {
		r.Step = time.Minute // one look: no time is between any
	}
	return r, nil
}
