package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// MaxSamples bounds a file of samples in JSON, which is read whole.
const MaxSamples = 64 << 20 // bytes

// ReadSamples reads samples in JSON: an object that has for each metric, by its
// name, an array of judge.Sample in the order of time.
func ReadSamples(data []byte, file string) (*Recording, error) {
	s := samples{file: file, data: data, series: make(map[string][]judge.Sample)}
	if err := s.read(); err != nil {
		return nil, err
	}
	var o outline
	for _, at := range s.times() {
		if err := o.saw(at); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	o.metrics = s.metrics
	return o.recording(file, s.looks)
}

// AreSamples tells whether a JSON text has the form of samples: an object of
// arrays of objects.
func AreSamples(data []byte) bool {
	var series map[string]json.RawMessage
	if json.Unmarshal(data, &series) != nil {
		return false
	}
	objects := false
	for _, raw := range series {
		inner, array := bytes.CutPrefix(raw, []byte("["))
		inner = bytes.TrimLeft(inner, " \t\r\n")
		if !array || inner[0] != '{' && inner[0] != ']' {
			return false
		}
		objects = objects || inner[0] == '{'
	}
	return objects
}

// samples are those of a file, by metric.
type samples struct {
	file    string
	data    []byte
	series  map[string][]judge.Sample
	metrics map[string]*Metric
}

// read decodes the file.
func (s *samples) read() error {
	decoder := json.NewDecoder(bytes.NewReader(s.data))
	decoder.DisallowUnknownFields()
	var o outline
	if err := open(decoder, '{', "an object with an array of samples for each metric"); err != nil {
		return s.at(decoder, err)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return s.at(decoder, err)
		}
		name, _ := key.(string)
		if _, twice := s.series[name]; twice || name == "" {
			return s.at(decoder, fmt.Errorf("metric %q is there twice, or has no name", name))
		}
		if err := open(decoder, '[', fmt.Sprintf("an array of samples for metric %q", name)); err != nil {
			return s.at(decoder, err)
		}
		s.series[name] = nil
		for decoder.More() {
			if err := s.sample(decoder, name, &o); err != nil {
				return s.at(decoder, fmt.Errorf("metric %q, sample %d: %w", name, len(s.series[name])+1, err))
			}
		}
		if _, err := decoder.Token(); err != nil {
			return s.at(decoder, err)
		}
	}
	if _, err := decoder.Token(); err != nil {
		return s.at(decoder, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return s.at(decoder, errors.New("there is more after the object's end"))
	}
	s.metrics = o.metrics
	return nil
}

// at says in what line the decoder is.
func (s *samples) at(decoder *json.Decoder, err error) error {
	offset := int(decoder.InputOffset())
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset, err = int(wrong.Offset), fmt.Errorf("not JSON: %w", err)
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		offset, err = len(s.data), errors.New("not JSON: it ends too early")
	}
	return fmt.Errorf("%s:%d: %w", s.file, 1+bytes.Count(s.data[:min(offset, len(s.data))], []byte("\n")), err)
}

// open takes the delimiter that a value must begin with.
func open(decoder *json.Decoder, want json.Delim, what string) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("want %s, got %v", what, token)
	}
	return nil
}

// sample takes in one more sample of a metric.
func (s *samples) sample(decoder *json.Decoder, name string, o *outline) error {
	var sample judge.Sample
	if err := decoder.Decode(&sample); err != nil {
		if !json.Valid(s.data) { // which says where
			return err
		}
		return fmt.Errorf("want a sample, an object of at, experiment and control, which have nodes (with total and bad), value, named or missing: %w", err)
	}
	before := s.series[name]
	switch {
	case sample.At.IsZero():
		return errors.New("it has no time (at)")
	case len(before) == MaxLooks:
		return fmt.Errorf("there are more than %d", MaxLooks)
	case len(before) > 0 && !sample.At.After(before[len(before)-1].At):
		return fmt.Errorf("its time is not after that of the one before it, %s", stamp(before[len(before)-1].At))
	}
	m, err := o.metric(name, "")
	if err != nil {
		return err
	}
	for _, side := range []struct {
		name string
		judge.Reading
	}{{"experiment", sample.Experiment}, {"control", sample.Control}} {
		if err := m.take(side.Reading, side.name == "control"); err != nil {
			return fmt.Errorf("%s: %w", side.name, err)
		}
	}
	s.series[name] = append(before, sample)
	return nil
}

// take learns from a reading what the metric is made of, and refuses what does
// not fit the ones before it. That a value of 0 is left out in JSON is why an
// empty reading of a control is no comparison, and one of an experiment is 0.
func (m *Metric) take(r judge.Reading, control bool) error {
	if r.Missing != "" {
		m.compared = m.compared || control
		return nil
	}
	kind := Values
	named := len(r.Named)
	if _, traffic := r.Named["traffic"]; traffic {
		named--
	}
	switch {
	case len(r.Nodes) > MaxNodes:
		return fmt.Errorf("there are more than %d nodes", MaxNodes)
	case len(r.Nodes) > 0:
		kind = Counts
	case named > 0:
		kind = Named
	case control && r.Value == 0 && !m.compared:
		return nil
	}
	for node, c := range r.Nodes {
		if !(c.Total >= 0 && c.Total <= maxCount) || len(c.Bad) == 0 || len(c.Bad) > MaxEdges {
			return fmt.Errorf("node %q: want a total from 0 on, and from 1 to %d numbers of bad ones", node, MaxEdges)
		}
		for _, bad := range c.Bad {
			if !(bad >= 0 && bad <= c.Total) {
				return fmt.Errorf("node %q: %v bad ones of %v", node, bad, c.Total)
			}
		}
		if m.width == 0 {
			m.width = len(c.Bad)
		} else if m.width != len(c.Bad) {
			return fmt.Errorf("node %q: %d numbers of bad ones, %d before", node, len(c.Bad), m.width)
		}
		if m.width > 1 {
			kind = Buckets
		}
	}
	if m.Kind != "" && m.Kind != kind {
		return fmt.Errorf("it has %s here and %s before", kind, m.Kind)
	}
	m.Kind = kind
	m.compared = m.compared || control
	return nil
}

// times are those of all metrics, in order.
func (s *samples) times() []time.Time {
	var times []time.Time
	for _, series := range s.series {
		for _, sample := range series {
			times = append(times, sample.At)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return slices.CompactFunc(times, time.Time.Equal)
}

// looks puts the samples of one time together.
func (s *samples) looks(metrics []spec.Metric) Looks {
	return func(yield func(Look, error) bool) {
		for _, m := range metrics {
			if have := s.metrics[m.Name]; have != nil && m.Edges != nil && have.width != len(m.Edges) {
				yield(Look{}, fmt.Errorf("%s: metric %q has %d numbers of bad ones, and %d edges in the configuration", s.file, m.Name, have.width, len(m.Edges)))
				return
			}
		}
		next := make([]int, len(metrics))
		for _, at := range s.times() {
			look := Look{At: at, Samples: make(map[string]judge.Sample, len(metrics))}
			for i, m := range metrics {
				series := s.series[m.Name]
				if next[i] < len(series) && series[next[i]].At.Equal(at) {
					look.Samples[m.Name] = series[next[i]]
					next[i]++
				}
			}
			if !yield(look, nil) {
				return
			}
		}
	}
}
