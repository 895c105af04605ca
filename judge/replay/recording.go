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
	// Compared tells whether the control has readings as well.
	Compared bool

	width int // numbers of bad events in a sample, 0 if none was seen
}

// Recording is a file of samples.
type Recording struct {
	// Metrics are sorted by name.
	Metrics []Metric
	// Step is the shortest time between two looks, 0 if there is one only.
	Step     time.Duration
	Looks    int
	From, To time.Time // of the first look and the last one

	file  string
	looks func(metrics []spec.Metric) Looks
}

// Sides are the names of the two sides in a recording; "experiment" and
// "control" always do.
type Sides struct{ Experiment, Control string }

// experiment tells which side a name is.
func (s Sides) experiment(name string) (experiment, ok bool) {
	switch name {
	case "experiment", s.Experiment:
		return true, true
	case "control", s.Control:
		return false, true
	}
	return false, false
}

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
