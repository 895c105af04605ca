package replay

import (
	"bufio"
	"cmp"
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
	"unicode/utf8"

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
// Instead of side and value there may be a column of values for each side, with
// its name. Semicolons or tabs may stand between columns too.
//
// Counts are those of the step alone, not of a counter that goes on. An empty
// cell is a gap. The file is read twice: once for what it has, so that what is
// wrong with it is told before anything is judged, and once for each replay.
func ReadCSV(r io.ReadSeeker, file, metric string, sides Sides) (*Recording, error) {
	t := &table{r: r, file: file, name: metric, sides: sides, compared: make(map[string]bool), totals: make(map[origin]total)}
	var o outline
	for row, err := range t.rows() {
		if err == nil {
			err = row.outline(&o, t)
		}
		if err != nil {
			return nil, t.at(row.line, err)
		}
	}
	for _, m := range o.metrics {
		m.Alone = m.sides.alone(sides)
	}
	recording, err := o.recording(file, t.looks)
	if err != nil {
		return nil, err
	}
	recording.Notes = t.notes()
	return recording, nil
}

// table is a CSV file with its header.
type table struct {
	r     io.ReadSeeker
	file  string
	name  string // of the metric, if no column says so
	sides Sides

	time, side, metric, node, bad, total, value int // columns, -1 for none
	edges                                       []edge
	parts                                       []part
	compared                                    map[string]bool // metrics with rows of the control
	totals                                      map[origin]total
}

// part is what a line has of one side: most have one row, and lines with a column
// for each side have several.
type part struct {
	side  string // "" if a column tells it
	value int    // column, -1 for none
}

// edge is a column of a histogram.
type edge struct {
	le     float64
	column int
	name   string // as an error has it
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
		lines.Comma = separator(buffered)
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
			if errors.Is(err, csv.ErrFieldCount) {
				err = fmt.Errorf("it has %d cells, and the header names %d columns", len(cells), len(header))
			}
			line, _ := place(lines, err)
			if err != nil {
				yield(row{line: line}, syntax(err))
				return
			}
			for _, p := range t.parts {
				parsed, err := t.row(cells, p)
				parsed.line = line
				if !yield(parsed, err) || err != nil {
					return
				}
			}
		}
	}
}

// separator is what stands between the columns of the first line: spreadsheets
// of many countries write semicolons.
func separator(r *bufio.Reader) rune {
	head, _ := r.Peek(r.Size()) // what is wrong with it shows when it is read
	first, _, _ := strings.Cut(string(head), "\n")
	for _, other := range ";\t" {
		if !strings.Contains(first, ",") && strings.ContainsRune(first, other) {
			return other
		}
	}
	return ','
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
	t.edges, t.parts = nil, nil
	columns := map[string]*int{
		"time": &t.time, "side": &t.side, "pool": &t.side, "metric": &t.metric, "node": &t.node,
		"bad": &t.bad, "total": &t.total, "value": &t.value,
	}
	for i, name := range names {
		if !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
			return errors.New("the first line is no text in UTF-8; save the file as CSV in UTF-8")
		}
		if side := strings.TrimSpace(name); t.sides.knows(side) {
			t.parts = append(t.parts, part{strings.Clone(side), i})
			continue
		}
		name = strings.ToLower(strings.TrimSpace(name))
		if le, ok := strings.CutPrefix(name, "le="); ok {
			v, err := strconv.ParseFloat(le, 64)
			if err != nil || math.IsNaN(v) || math.IsInf(v, -1) {
				return fmt.Errorf("column %q: %q is not the edge of a bucket, such as le=0.5 or le=+Inf", names[i], le)
			}
			t.edges = append(t.edges, edge{v, i, fmt.Sprintf("le=%v", v)})
			continue
		}
		column := columns[name]
		switch {
		case column == nil:
			return fmt.Errorf("column %q is unknown, known are %s and le=NUMBER, or a column of values for each side: %s", names[i], strings.Join(slices.Sorted(maps.Keys(columns)), ", "), t.sides)
		case *column >= 0:
			return fmt.Errorf("column %q is there twice", names[i])
		}
		*column = i
	}
	slices.SortFunc(t.edges, func(a, b edge) int { return cmp.Compare(a.le, b.le) })
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
	case len(t.parts) > 0:
		return t.wide()
	case t.side < 0:
		return fmt.Errorf("there is no column side (or pool), which tells experiment and control apart, nor a column of values for each: %s", t.sides)
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
	t.parts = []part{{value: t.value}}
	return nil
}

// wide refuses a table with a column for each side that has others as well.
func (t *table) wide() error {
	if t.side >= 0 || t.bad >= 0 || t.total >= 0 || t.value >= 0 || len(t.edges) > 0 {
		return fmt.Errorf("the column %q has the values of one side, beside which only time, metric and node may stand", t.parts[0].side)
	}
	seen := make(map[bool]bool)
	for _, p := range t.parts {
		experiment, _ := t.sides.experiment(p.side)
		if seen[experiment] {
			return fmt.Errorf("there is a second column of the same side, %q", p.side)
		}
		seen[experiment] = true
	}
	return nil
}

// row parses one side's cells of a line.
func (t *table) row(cells []string, p part) (row, error) {
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
	side := cmp.Or(p.side, cell(t.side))
	var known bool
	if r.experiment, known = t.sides.experiment(side); !known {
		return r, t.sides.refuse(side)
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
	r.bad, r.total, r.value = number("bad", t.bad, true), number("total", t.total, true), number(cmp.Or(p.side, "value"), p.value, false)
	r.empty = cell(p.value) == ""
	for i, e := range t.edges {
		r.buckets[i] = number(e.name, e.column, true)
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
		return math.NaN(), fmt.Errorf("%q is not a number; want one like 1234.5, without units or separators, or an empty cell for a gap", text)
	}
	return v, nil
}

// ParseTime reads a time: RFC 3339, the same without a zone, which is taken for
// UTC, or seconds or milliseconds since 1970.
func ParseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", time.DateTime} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	number, err := strconv.ParseFloat(text, 64)
	const (
		latest   = 1 << 34 // seconds, after the year 2500
		earliest = 1e11    // milliseconds, in 1973
	)
	switch {
	case err == nil && number >= 0 && number <= latest:
		return time.UnixMilli(int64(math.Round(number * 1000))).UTC(), nil
	case err == nil && number >= earliest && number <= latest*1000:
		return time.UnixMilli(int64(math.Round(number))).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time, want one such as 2026-11-20T10:00:00Z, or seconds or milliseconds since 1970", text)
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
	m.sides.saw(r.at, r.experiment)
	t.count(r)
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
	counts, missing := t.counts(r, kind, m.Edges)
	if missing != "" {
		*side = judge.Reading{Missing: missing}
		return nil
	}
	if side.Nodes == nil {
		side.Nodes = make(map[string]judge.Counts)
	}
	side.Nodes[r.node] = counts
	return nil
}

// counts are the events of a row, or why they are missing.
func (t *table) counts(r row, kind Kind, edges []float64) (c judge.Counts, missing string) {
	const none = "a number is missing in the row"
	if kind == Counts {
		if math.IsNaN(r.bad + r.total) {
			return c, none
		}
		return judge.Counts{Total: r.total, Bad: []float64{r.bad}}, ""
	}
	c.Total = r.total
	if last := len(t.edges) - 1; math.IsInf(t.edges[last].le, 1) {
		c.Total = r.buckets[last]
	}
	if math.IsNaN(c.Total) {
		return c, none
	}
	before := c.Total
	for i, e := range t.edges {
		if math.IsInf(e.le, 1) || edges != nil && !slices.Contains(edges, e.le) {
			continue
		}
		slow := c.Total - r.buckets[i]
		switch {
		case math.IsNaN(slow):
			return c, none
		case slow < 0 || slow > before:
			return c, fmt.Sprintf("the bucket le=%v has more events than a longer one, or fewer than a shorter one", e.le)
		}
		before = slow
		c.Bad = append(c.Bad, slow)
	}
	return c, ""
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
