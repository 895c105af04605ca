package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"

	"switchd/judge"
)

//go:embed report.html
var page string

// section is a metric as the page shows it.
type section struct {
	Metric
	ID      string
	Drawing template.HTML
	Table   []tableRow
	// Sentence is what was found, without the metric's name.
	Sentence string
}

// tableRow is a mark in words, for who can't see the drawing.
type tableRow struct{ At, Experiment, Control, Ratio, Band, Evidence string }

// HTML writes the report as one page.
func HTML(w io.Writer, r Report) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"outcome": Word, "class": class, "ratio": ratioText, "count": thousands,
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("parse the page: %w", err)
	}
	data := struct {
		Report
		Sections []section
		All      template.HTML // the evidence of all metrics together
		Undrawn  int
	}{Report: r}
	if m, ok := r.together(); ok {
		if data.All, err = r.charts(m).svg("all-drawing", "Evidence of all metrics together, "+Word(r.Outcome)); err != nil {
			return err
		}
	}
	for i, m := range r.sorted() {
		s := section{Metric: m, ID: fmt.Sprintf("metric-%d", i+1), Sentence: m.why()}
		if i >= MaxPlots {
			data.Undrawn++
		} else if charts := r.charts(m); len(charts.plots) > 0 {
			if s.Drawing, err = charts.svg(s.ID+"-drawing", describe(r, m)); err != nil {
				return err
			}
			s.Table = table(m)
		}
		data.Sections = append(data.Sections, s)
	}
	if err := t.Execute(w, data); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// describe says what the drawing shows.
func describe(r Report, m Metric) string {
	var parts []string
	if n := len(m.Path); n > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s from %s to %s", m.Finding.Metric, sides(r, m), clock(m.Path[0].At), clock(m.Path[n-1].At)))
	}
	return strings.Join(append(parts, Word(m.Finding.Outcome)+": "+m.why()), "; ")
}

func sides(r Report, m Metric) string {
	for _, mark := range m.Path {
		if !math.IsNaN(mark.Control) {
			return r.Experiment + " and " + r.Control
		}
	}
	return r.Experiment
}

// maxRows bounds the table behind a drawing.
const maxRows = 60

// table is a bounded choice of the marks, the last one among them.
func table(m Metric) []tableRow {
	every := (len(m.Path) + maxRows - 1) / maxRows
	var rows []tableRow
	for i, mark := range m.Path {
		if (len(m.Path)-1-i)%max(every, 1) != 0 {
			continue
		}
		rows = append(rows, tableRow{
			At: clock(mark.At), Experiment: m.value(mark.Experiment), Control: m.value(mark.Control),
			Ratio: short(mark.Ratio), Band: bandText(mark.Lower, mark.Upper), Evidence: evidenceText(mark.LogE),
		})
	}
	return rows
}

func clock(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05Z") }

// Word says an outcome to people.
func Word(o judge.Outcome) string {
	if o == judge.Undecided {
		return "not enough data yet"
	}
	return o.String()
}

// class is how the page shows an outcome.
func class(o judge.Outcome) string {
	switch o {
	case judge.Regressed:
		return "regressed"
	case judge.NoWorse:
		return "noworse"
	case judge.Undecided:
	}
	return "undecided"
}
