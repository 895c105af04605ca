package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"switchd/judge"
	"switchd/judge/replay"
	"switchd/judge/report"
	"switchd/spec"
	"switchd/status"
)

// shownFlags say what is shown.
type shownFlags struct {
	JSON     bool   `help:"Print JSON, for programs: one object, or one a line for cases."`
	HTML     string `help:"Write a report with plots as an HTML page that needs nothing else." placeholder:"FILE"`
	PNG      string `help:"Write the report as a picture." placeholder:"FILE"`
	ExitCode bool   `help:"End with 10 if the new version has regressed, and with 11 if that could not be decided."`
	Progress bool   `help:"Tell how far it is, also where standard error is no terminal."`
}

// show prints what was found and writes the reports.
func (c *judgeCmd) show(a *app, r replayed) error {
	if err := c.reports(r); err != nil {
		return err
	}
	var err error
	if c.JSON {
		err = r.printJSON(a.stdout)
	} else {
		err = r.print(a.stdout)
	}
	if err != nil {
		return fmt.Errorf("print the verdict: %w", err)
	}
	return c.exit(r.result.Verdict)
}

// exit is the status of a verdict, if that is asked for.
func (c *shownFlags) exit(v judge.Verdict) error {
	switch {
	case !c.ExitCode || v.Outcome == judge.NoWorse:
		return nil
	case v.Outcome == judge.Regressed:
		return &outcomeError{statusFailed, "the new version has regressed"}
	default:
		return &outcomeError{statusHalted, "it could not be decided"}
	}
}

// printJSON prints everything that is known.
func (r replayed) printJSON(w io.Writer) error {
	return json.NewEncoder(w).Encode(struct {
		Outcome string `json:"outcome"` // also if it is undecided
		judge.Verdict
		Decisions []replay.Decision           `json:"decisions"`
		Looks     int                         `json:"looks"`
		Interval  spec.Duration               `json:"interval"`
		From      time.Time                   `json:"from"`
		To        time.Time                   `json:"to"`
		SelfTests map[string]judge.Background `json:"self_tests,omitempty"`
		Notes     []string                    `json:"notes,omitempty"`
		Trail     judge.Trail                 `json:"trail"`
	}{r.result.Verdict.Outcome.String(), r.result.Verdict, append([]replay.Decision{}, r.result.Decisions...), r.result.Looks, r.config.Interval, r.result.From, r.result.To, r.backgrounds, r.notes, r.trail})
}

// print writes for people: the verdict, when it was found, a sentence for each
// metric, and the numbers.
func (r replayed) print(w io.Writer) error {
	v := r.result.Verdict
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s\n", report.Word(v.Outcome), status.Printable(v.Why))
	for _, f := range r.facts() {
		fmt.Fprintf(&text, "%s: %s\n", strings.ToLower(f.Name), status.Printable(f.Text))
	}
	text.WriteByte('\n')
	if len(v.Findings) != 1 || !strings.HasPrefix(v.Why, v.Findings[0].Why) { // else it is said
		for _, f := range v.Findings {
			fmt.Fprintf(&text, "%s\n", status.Printable(f.Why))
		}
		text.WriteByte('\n')
	}
	if _, err := io.WriteString(w, text.String()); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "METRIC\tJUDGE\tVERDICT\tRATIO\tBAND\tSAMPLES\tGAPS\tREQUESTS")
	for _, f := range v.Findings {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", status.Printable(f.Metric), f.Judge, cmp.Or(f.Classification, f.Outcome.String()),
			ratioOf(f), bandOf(f), f.Samples, f.Gaps, requests(f.Requests))
	}
	return table.Flush()
}

func ratioOf(f judge.Finding) string {
	if f.Ratio == 0 {
		return "-"
	}
	return strconv.FormatFloat(f.Ratio, 'g', 3, 64)
}

func bandOf(f judge.Finding) string {
	switch {
	case f.Band.Upper == 0, f.Band.Lower == 0 && math.IsInf(f.Band.Upper, 1):
		return "-"
	case math.IsInf(f.Band.Upper, 1):
		return fmt.Sprintf("at least %.3g", f.Band.Lower)
	}
	return fmt.Sprintf("%.3g to %.3g", f.Band.Lower, f.Band.Upper)
}

func requests(of [2]float64) string {
	if of[0]+of[1] == 0 {
		return "-"
	}
	return judge.Count(of[0]) + " / " + judge.Count(of[1])
}

// facts are what else there is to say.
func (r replayed) facts() []report.Fact {
	var facts []report.Fact
	for _, d := range r.result.Decisions {
		text := fmt.Sprintf("%s at %s, after %s", d.Outcome, d.At.UTC().Format(time.RFC3339), status.Span(d.After.Std()))
		if d.Requests > 0 {
			text += " and " + judge.Count(d.Requests) + " requests"
		}
		facts = append(facts, report.Fact{Name: "Decided", Text: text})
	}
	facts = append(facts, report.Fact{Name: "Judged", Text: fmt.Sprintf("%s, one each %s, from %s to %s, of %s",
		plural(r.result.Looks, "look"), status.Span(r.config.Interval.Std()), r.result.From.UTC().Format(time.RFC3339), r.result.To.UTC().Format(time.RFC3339), r.source)})
	for _, note := range r.notes {
		facts = append(facts, report.Fact{Name: "Note", Text: note})
	}
	for _, m := range r.config.Metrics {
		if b := r.backgrounds[m.Name]; b.Why != "" {
			facts = append(facts, report.Fact{Name: "Self-test", Text: m.Name + ": " + b.Why})
		}
	}
	return facts
}

// reports writes the files that are asked for.
func (c *judgeCmd) reports(r replayed) error {
	shown := c.report(r)
	for _, file := range []struct {
		name  string
		write func(io.Writer, report.Report) error
	}{{c.HTML, report.HTML}, {c.PNG, report.PNG}} {
		if file.name == "" {
			continue
		}
		if err := writeFile(file.name, func(w io.Writer) error { return file.write(w, shown) }); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// writeFile writes a file that only its owner can read.
func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// report is what the reports show.
func (c *judgeCmd) report(r replayed) report.Report {
	v := r.result.Verdict
	title := "Replay of " + r.source
	switch subject := strings.TrimSpace(c.Service + " " + c.Release); {
	case c.Rollout != "":
		title = subject + " to " + c.Experiment + ": " + r.source
	case subject != "":
		title = subject + ": replay of " + r.source
	}
	shown := report.Report{
		Title: title, Outcome: v.Outcome, Why: v.Why, Facts: r.facts(), Config: strings.TrimSpace(r.text),
		Experiment: c.Experiment, Control: c.Control, Limit: r.trail.Limit, Together: r.trail.Together,
	}
	for _, d := range r.result.Decisions {
		shown.Moments = append(shown.Moments, report.Moment{At: d.At, Name: d.Outcome.String()})
	}
	for _, f := range v.Findings {
		i := slices.IndexFunc(r.config.Metrics, func(m spec.Metric) bool { return m.Name == f.Metric })
		if i < 0 {
			continue
		}
		m := r.config.Metrics[i]
		metric := report.Metric{
			Finding: f, Share: m.Total != "" || m.Buckets != "", Shows: shows(m), Path: r.trail.Metrics[m.Name],
			Allowed: m.Allowed, Harmless: m.Harmless, Min: m.Min, Max: m.Max,
		}
		if r.asked {
			metric.Queries = queries(m, c.vars())
		}
		shown.Metrics = append(shown.Metrics, metric)
	}
	return shown
}

// shows says what a metric's plot is of: for a histogram, its first edge.
func shows(m spec.Metric) string {
	switch {
	case m.Buckets != "" && len(m.Edges) > 0:
		edge := m.Edges[0]
		if m.Unit != spec.UnitMilliseconds {
			edge *= 1000
		}
		return "Share of requests above " + strconv.FormatFloat(edge, 'g', 6, 64) + " ms"
	case m.Total != "":
		return "Share of bad requests"
	}
	return "Value"
}

// queries are what was asked for the experiment.
func queries(m spec.Metric, vars spec.Vars) []report.Fact {
	var facts []report.Fact
	add := func(name, promql string) {
		if promql != "" {
			facts = append(facts, report.Fact{Name: name, Text: vars.Expand(promql)})
		}
	}
	add("value", m.Query)
	add("bad", m.Bad)
	add("total", m.Total)
	add("buckets", m.Buckets)
	for _, name := range slices.Sorted(maps.Keys(m.Queries)) {
		add(name, m.Queries[name])
	}
	add("traffic", m.Traffic)
	return facts
}
