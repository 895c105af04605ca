package replay

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// ReadCSV reads a table of samples: a header, then one row for each time and
// side (and metric, and node, if there are such columns), in the order of time.
// The columns, in any order:
//
//   - time: the end of the step, RFC 3339 or seconds since 1970
//   - side, or pool: experiment or control, or the names of the pools
//   - metric: its name; without the column, all rows are of one metric
//   - node: what tells nodes apart
//   - bad and total: the bad ones and all of the events in the step
//   - le=0.1, le=0.5, …, le=+Inf: the events in the step that took at most so
//     long, as the buckets of a histogram count them; total may stand for the last
//   - value: the metric's value in the step
//
// Counts are those of the step alone, not of a counter that goes on. An empty
// cell is a gap. The file is read twice: once for what it has, so that what is
// wrong with it is told before anything is judged, and once for each replay.
func ReadCSV(r io.ReadSeeker, file, metric string, sides Sides) (*Recording, error) {
	t := &table{r: r, file: file, name: metric, sides: sides, compared: make(map[string]bool)}
	var o outline
	for row, err := range t.rows() {
		if err == nil {
			err = row.outline(&o, t)
		}
		if err != nil {
			return nil, t.at(row.line, err)
		}
	}
	return o.recording(file, t.looks)
}

// table is a CSV file with its header.
type table struct {
	r     io.ReadSeeker
	file  string
	name  string // of the metric, if no column says so
	sides Sides

	time, side, metric, node, bad, total, value int // columns, -1 for none
	edges                                       []edge
	compared                                    map[string]bool // metrics with rows of the control
}

// edge is a column of a histogram.
type edge struct {
	le     float64
	column int
}

// row is one line of the table, its numbers NaN where nothing is.
type row struct {
	line              int
	at                time.Time
	experiment        bool
	metric, node      string
	bad, total, value float64
	empty             bool      // the value's cell
	buckets           []float64 // one for each edge of the table
}

// at says where an error is.
func (t *table) at(line int, err error) error {
	if line == 0 {
		return fmt.Errorf("%s: %w", t.file, err)
	}
	return fmt.Errorf("%s:%d: %w", t.file, line, err)
}

// rows reads the file from its beginning.
func (t *table) rows() iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		if _, err := t.r.Seek(0, io.SeekStart); err != nil {
			yield(row{}, err)
			return
		}
		// A byte order mark is what some spreadsheets begin with.
		buffered := bufio.NewReader(&atMost{r: t.r, left: MaxFile})
		if mark, err := buffered.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
			_, _ = buffered.Discard(3)
		}
		lines := csv.NewReader(buffered)
		lines.ReuseRecord, lines.TrimLeadingSpace = true, true
		header, err := lines.Read()
		if errors.Is(err, io.EOF) {
			yield(row{}, errors.New("it is empty; the first line names the columns"))
			return
		}
		if err == nil {
			err = t.header(header)
		}
		if err != nil {
			yield(row{line: 1}, syntax(err))
			return
		}
		for {
			cells, err := lines.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			var parsed row
			if err == nil {
				parsed, err = t.row(cells)
			}
			parsed.line, _ = place(lines, err)
			if !yield(parsed, syntax(err)) || err != nil {
				return
			}
		}
	}
}

// place is the line that was read last.
func place(lines *csv.Reader, err error) (line, column int) {
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		return wrong.Line, wrong.Column
	}
	return lines.FieldPos(0)
}

// syntax takes the place out of the reader's error, which is told already.
func syntax(err error) error {
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		return wrong.Err
	}
	return err
}

// header finds the columns.
func (t *table) header(names []string) error {
	t.time, t.side, t.metric, t.node, t.bad, t.total, t.value = -1, -1, -1, -1, -1, -1, -1
	t.edges = nil
	columns := map[string]*int{
		"time": &t.time, "side": &t.side, "pool": &t.side, "metric": &t.metric, "node": &t.node,
		"bad": &t.bad, "total": &t.total, "value": &t.value,
	}
	for i, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		if le, ok := strings.CutPrefix(name, "le="); ok {
			v, err := strconv.ParseFloat(le, 64)
			if err != nil || math.IsNaN(v) || math.IsInf(v, -1) {
				return fmt.Errorf("column %q: %q is not the edge of a bucket, such as le=0.5 or le=+Inf", names[i], le)
			}
			t.edges = append(t.edges, edge{v, i})
			continue
		}
		column := columns[name]
		switch {
		case column == nil:
			return fmt.Errorf("column %q is unknown, known are %s and le=NUMBER", names[i], strings.Join(slices.Sorted(maps.Keys(columns)), ", "))
		case *column >= 0:
			return fmt.Errorf("column %q is there twice", names[i])
		}
		*column = i
	}
	slices.SortFunc(t.edges, func(a, b edge) int { return compare(a.le, b.le) })
	for i := 1; i < len(t.edges); i++ {
		if t.edges[i].le == t.edges[i-1].le {
			return fmt.Errorf("column le=%v is there twice", t.edges[i].le)
		}
	}
	return t.complete()
}

// complete refuses a table that has too little to be judged.
func (t *table) complete() error {
	last := len(t.edges) - 1
	switch {
	case t.time < 0:
		return errors.New("there is no column time")
	case t.side < 0:
		return errors.New("there is no column side (or pool), which tells experiment and control apart")
	case t.bad < 0 && t.value < 0 && last < 0:
		return errors.New("there is nothing to judge: no columns bad and total, no le=…, no value")
	case t.bad >= 0 && t.total < 0:
		return errors.New("there is a column bad but no total; bad events mean nothing without the number of all")
	case last >= 0 && t.total < 0 && !math.IsInf(t.edges[last].le, 1):
		return errors.New("there are buckets, but neither le=+Inf nor total, which count all events")
	case last >= 0 && math.IsInf(t.edges[0].le, 1):
		return errors.New("le=+Inf is the only bucket, so that there is no edge to judge")
	case len(t.edges) > MaxEdges+1:
		return fmt.Errorf("there are %d buckets, at most %d can be judged", len(t.edges), MaxEdges)
	}
	return nil
}

// row parses the cells of one line.
func (t *table) row(cells []string) (row, error) {
	cell := func(column int) string {
		if column < 0 {
			return ""
		}
		return strings.TrimSpace(cells[column])
	}
	r := row{metric: t.name, node: cell(t.node), buckets: make([]float64, len(t.edges))}
	if t.metric >= 0 {
		if r.metric = strings.Clone(cell(t.metric)); r.metric == "" {
			return r, errors.New("the metric has no name")
		}
	}
	r.node = strings.Clone(r.node) // of a record that is used again
	var err error
	if r.at, err = ParseTime(cell(t.time)); err != nil {
		return r, err
	}
	var known bool
	if r.experiment, known = t.sides.experiment(cell(t.side)); !known {
		return r, t.sides.refuse(cell(t.side))
	}
	number := func(name string, column int, count bool) float64 {
		v, wrong := parseNumber(cell(column))
		if wrong == nil && count && !(math.IsNaN(v) || v >= 0 && v <= maxCount) {
			wrong = fmt.Errorf("%v is not a count", v)
		}
		if wrong != nil && err == nil {
			err = fmt.Errorf("%s: %w", name, wrong)
		}
		return v
	}
	r.bad, r.total, r.value = number("bad", t.bad, true), number("total", t.total, true), number("value", t.value, false)
	r.empty = cell(t.value) == ""
	for i, e := range t.edges {
		r.buckets[i] = number(fmt.Sprintf("le=%v", e.le), e.column, true)
	}
	if err == nil && r.bad > r.total {
		err = fmt.Errorf("bad is %v, more than the total of %v", r.bad, r.total)
	}
	return r, err
}

// maxCount is where float64 stops to hold every integer.
const maxCount = 1 << 53

// parseNumber reads a cell; one that is empty is NaN.
func parseNumber(text string) (float64, error) {
	if text == "" {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN(), fmt.Errorf("%q is not a number", text)
	}
	return v, nil
}

// ParseTime reads a time: RFC 3339, or seconds since 1970.
func ParseTime(text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at.UTC(), nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	const latest = 1 << 34 // after the year 2500
	if err != nil || !(seconds >= 0 && seconds <= latest) {
		return time.Time{}, fmt.Errorf("%q is not a time, want one such as 2026-11-20T10:00:00Z, or seconds since 1970", text)
	}
	return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), nil
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// kind is what the row has, "" for nothing but a gap.
func (r row) kind() Kind {
	switch {
	case slices.ContainsFunc(r.buckets, func(v float64) bool { return !math.IsNaN(v) }):
		return Buckets
	case !math.IsNaN(r.bad) || !math.IsNaN(r.total):
		return Counts
	case !r.empty:
		return Values
	}
	return ""
}

// outline notes what the row tells of the recording.
func (r row) outline(o *outline, t *table) error {
	if err := o.saw(r.at); err != nil {
		return err
	}
	m, err := o.metric(r.metric, r.kind())
	if err != nil {
		return err
	}
	if m.Kind == Buckets && m.Edges == nil {
		m.Edges = t.finite()
	}
	m.Compared = m.Compared || !r.experiment
	if !r.experiment {
		t.compared[r.metric] = true
	}
	return nil
}

// finite are the edges that can be judged.
func (t *table) finite() []float64 {
	var edges []float64
	for _, e := range t.edges {
		if !math.IsInf(e.le, 1) {
			edges = append(edges, e.le)
		}
	}
	return edges
}

// looks reads the file once more and puts the rows of one time together.
func (t *table) looks(metrics []spec.Metric) Looks {
	byName := make(map[string]spec.Metric, len(metrics))
	for _, m := range metrics {
		byName[m.Name] = m
	}
	return func(yield func(Look, error) bool) {
		var rows []row
		for r, err := range t.rows() {
			if err == nil && len(rows) > 0 && !r.at.Equal(rows[0].at) {
				look, wrong := t.look(rows, byName)
				if !yield(look, wrong) || wrong != nil {
					return
				}
				rows = rows[:0]
			}
			if err != nil {
				yield(Look{}, t.at(r.line, err))
				return
			}
			if _, ok := byName[r.metric]; ok {
				rows = append(rows, r)
			}
			if most := 2 * MaxNodes * len(metrics); len(rows) > most {
				yield(Look{}, t.at(r.line, fmt.Errorf("there are more than %d rows of one time, %d nodes a side and metric", most, MaxNodes)))
				return
			}
		}
		if len(rows) > 0 {
			yield(t.look(rows, byName))
		}
	}
}

// look makes samples of the rows of one time.
func (t *table) look(rows []row, metrics map[string]spec.Metric) (Look, error) {
	look := Look{At: rows[0].at, Samples: make(map[string]judge.Sample)}
	const nothing = "no row"
	for name := range metrics {
		s := judge.Sample{At: look.At, Experiment: judge.Reading{Missing: nothing}}
		if t.compared[name] {
			s.Control.Missing = nothing
		}
		look.Samples[name] = s
	}
	for _, r := range rows {
		s := look.Samples[r.metric]
		side := &s.Control
		if r.experiment {
			side = &s.Experiment
		}
		if err := t.add(side, r, metrics[r.metric], side.Missing == nothing); err != nil {
			return Look{}, t.at(r.line, err)
		}
		look.Samples[r.metric] = s
	}
	return look, nil
}

// add takes a row into one side's reading, of which it may be the first.
func (t *table) add(side *judge.Reading, r row, m spec.Metric, first bool) error {
	kind := KindOf(m)
	if kind == Values {
		if !first {
			return fmt.Errorf("a second value of metric %q for this time and side; it has one for all nodes", m.Name)
		}
		*side = judge.Reading{Value: r.value}
		if r.empty {
			*side = judge.Reading{Missing: "no value"}
		}
		return nil
	}
	if first {
		*side = judge.Reading{}
	}
	if _, twice := side.Nodes[r.node]; twice {
		return fmt.Errorf("a second row of metric %q for this time, side and node", m.Name)
	}
	if side.Missing != "" {
		return nil
	}
	counts, complete := t.counts(r, kind, m.Edges)
	if !complete {
		*side = judge.Reading{Missing: "a number is missing in the row"}
		return nil
	}
	if side.Nodes == nil {
		side.Nodes = make(map[string]judge.Counts)
	}
	side.Nodes[r.node] = counts
	return nil
}

// counts are the events of a row.
func (t *table) counts(r row, kind Kind, edges []float64) (c judge.Counts, complete bool) {
	if kind == Counts {
		return judge.Counts{Total: r.total, Bad: []float64{r.bad}}, !math.IsNaN(r.bad + r.total)
	}
	c.Total = r.total
	if last := len(t.edges) - 1; math.IsInf(t.edges[last].le, 1) {
		c.Total = r.buckets[last]
	}
	complete = !math.IsNaN(c.Total)
	for i, e := range t.edges {
		if math.IsInf(e.le, 1) || edges != nil && !slices.Contains(edges, e.le) {
			continue
		}
		slow := c.Total - r.buckets[i]
		complete = complete && slow >= 0 // a bucket above the total, or none
		c.Bad = append(c.Bad, slow)
	}
	return c, complete
}

// atMost reads no more than it may, and says so.
type atMost struct {
	r    io.Reader
	left int64
}

func (l *atMost) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("it has more than %d MiB; split it", MaxFile>>20)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}
