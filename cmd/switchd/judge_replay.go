package main

import (
	stdbytes "bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"switchd/analysis"
	"switchd/judge"
	"switchd/judge/replay"
	"switchd/spec"
)

// judgedFlags say what is judged.
type judgedFlags struct {
	Config     string `help:"File of an analysis block, as inputs have it: ask these judges, with these settings." placeholder:"FILE"`
	From       string `help:"Judge from here on; what a file has before it is the live pool's history, for the self-test." placeholder:"TIME"`
	To         string `help:"Judge until here." placeholder:"TIME"`
	Experiment string `help:"What the new version's side is called, such as its pool; green if not set." aliases:"pool" default:"green" placeholder:"NAME"`
	Control    string `help:"What the live version's side is called; blue if not set." aliases:"other" default:"blue" placeholder:"NAME"`
	Metric     string `help:"What the metric of a CSV file is called that has no column for it; metric if not set." default:"metric" placeholder:"NAME"`
	Service    string `help:"Service, for queries that name it." placeholder:"NAME"`
	Release    string `help:"New version, for queries that name it." placeholder:"VERSION"`
	Live       string `help:"Live version, for queries that name it." placeholder:"VERSION"`
}

// replayed is what was replayed, for those who show it.
type replayed struct {
	config      spec.Analysis
	text        string // of the configuration
	source      string // what it was replayed from
	asked       bool   // queries were evaluated
	backgrounds map[string]judge.Background
	notes       []string // what else was seen
	result      replay.Result
	trail       judge.Trail
}

// file judges a file.
func (c *judgeCmd) file(a *app) error {
	format, err := c.format()
	if err != nil {
		return err
	}
	file, name, err := c.open()
	if err != nil {
		return &inputError{err.Error()}
	}
	defer func() { _ = file.Close() }() // only read
	switch format {
	case "csv":
		seeker, err := rereadable(file, name)
		if err != nil {
			return err
		}
		recording, err := replay.ReadCSV(seeker, name, c.Metric, c.sides())
		if err != nil {
			return &inputError{err.Error()}
		}
		return c.recording(a, recording, name)
	case "openmetrics":
		return c.dump(a, file, name)
	}
	data, err := whole(file, name, replay.MaxSamples)
	if err != nil {
		return err
	}
	data = stdbytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // some editors begin with it
	if !replay.AreSamples(data) {
		if c.Judge != auto && c.Judge != spec.JudgeMannWhitney || c.Config != "" {
			return &inputError{name + ": has no samples: an object with an array for each metric; `switchd judge --help` shows it. Cases are for the judge mannwhitney, without --config"}
		}
		return c.cases(a, stdbytes.NewReader(data), name)
	}
	recording, err := replay.ReadSamples(data, name)
	if err != nil {
		return &inputError{err.Error()}
	}
	return c.recording(a, recording, name)
}

// format is what the file has.
func (c *judgeCmd) format() (string, error) {
	switch ext := strings.ToLower(filepath.Ext(c.Input)); {
	case c.Format != auto:
		return c.Format, nil
	case ext == ".csv":
		return "csv", nil
	case ext == ".json" || c.Input == "-":
		return "json", nil
	case slices.Contains([]string{".om", ".openmetrics", ".prom", ".txt"}, ext):
		return "openmetrics", nil
	}
	return "", &usageError{fmt.Sprintf("what %s has can't be told by its name; say so with --format", c.Input)}
}

// rereadable is a file that can be read twice.
func rereadable(file io.Reader, name string) (io.ReadSeeker, error) {
	if seeker, ok := file.(io.ReadSeeker); ok {
		if _, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			return seeker, nil
		}
	}
	data, err := whole(file, name, replay.MaxSamples)
	return stdbytes.NewReader(data), err
}

func whole(file io.Reader, name string, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	switch {
	case err != nil:
		return nil, &inputError{fmt.Sprintf("read %s: %v", name, err)}
	case int64(len(data)) > most:
		return nil, &inputError{fmt.Sprintf("%s: has more than %d MiB; split it", name, most>>20)}
	}
	return data, nil
}

func (c *judgedFlags) sides() replay.Sides {
	return replay.Sides{Experiment: c.Experiment, Control: c.Control}
}

// times are the ends of what is judged, zero where none is set.
func (c *judgedFlags) times() (from, to time.Time, err error) {
	for _, end := range []struct {
		flag, text string
		at         *time.Time
	}{{"--from", c.From, &from}, {"--to", c.To, &to}} {
		if end.text == "" {
			continue
		}
		if *end.at, err = replay.ParseTime(end.text); err != nil {
			return from, to, &usageError{end.flag + ": " + err.Error()}
		}
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, &usageError{fmt.Sprintf("--from %s is not before --to %s", c.From, c.To)}
	}
	return from, to, nil
}

// recording judges a file of samples.
func (c *judgeCmd) recording(a *app, recording *replay.Recording, name string) error {
	from, to, err := c.times()
	if err != nil {
		return err
	}
	if c.Interval = recording.Step; c.Interval < time.Millisecond {
		return &inputError{fmt.Sprintf("%s: two looks are %s apart, at least 1ms is needed", name, recording.Step)}
	}
	config, text, err := c.config(recording.Metrics)
	if err != nil {
		return err
	}
	config.Interval = spec.Duration(recording.Step)
	looks, err := recording.Replay(config.Metrics)
	if err != nil {
		return &inputError{err.Error()}
	}
	r := replayed{config: config, text: text, source: name, notes: recording.Notes}
	if !from.IsZero() && config.History > 0 {
		history, err := replay.History(a.ctx, replay.Between(looks, from.Add(-config.History.Std()), from))
		if err != nil {
			return c.wrong(err)
		}
		r.selfTest(history)
	}
	return c.run(a, r, replay.Between(looks, from, to), recording.Looks)
}

// dump judges series in a file.
func (c *judgeCmd) dump(a *app, file io.Reader, name string) error {
	config, text, err := c.config(nil)
	if err != nil {
		return err
	}
	if err := c.knows(config); err != nil {
		return err
	}
	keep, err := c.wanted(config)
	if err != nil {
		return &inputError{err.Error()}
	}
	dump, err := replay.ReadDump(&interruptible{a.ctx, file}, name, keep)
	if err != nil {
		return c.wrong(err)
	}
	first, last, ok := dump.Extent()
	if !ok {
		return &inputError{fmt.Sprintf("%s: none of its series is asked for; the selectors are those of --config, or --bad, --total and --buckets", name)}
	}
	from, to, err := c.times()
	if err != nil {
		return err
	}
	if from.IsZero() {
		from = first
	}
	if to.IsZero() {
		to = last
	}
	return c.back(a, replayed{config: config, text: text, source: name, asked: true}, dump, from, to)
}

// wanted tells which series the queries ask for.
func (c *judgeCmd) wanted(config spec.Analysis) (func(map[string]string) bool, error) {
	var selectors []replay.Selector
	for _, vars := range []spec.Vars{c.vars(), c.live()} {
		for _, m := range config.Metrics {
			if m.Query != "" || len(m.Queries) > 0 || m.Traffic != "" {
				return nil, fmt.Errorf("metric %q is a PromQL query, which can't be evaluated on a file; judge it on a Prometheus, with --prometheus", m.Name)
			}
			for _, text := range []string{m.Bad, m.Total, m.Buckets} {
				if text == "" {
					continue
				}
				selector, err := replay.ParseSelector(vars.Expand(text))
				if err != nil {
					return nil, fmt.Errorf("metric %q: %w", m.Name, err)
				}
				selectors = append(selectors, selector)
			}
		}
	}
	return func(labels map[string]string) bool {
		return slices.ContainsFunc(selectors, func(s replay.Selector) bool { return s.Selects(labels) })
	}, nil
}

// knows refuses queries with a variable that no flag has set, as they would find
// nothing.
func (c *judgedFlags) knows(config spec.Analysis) error {
	for _, m := range config.Metrics {
		for _, q := range queries(m, spec.Vars{Service: "{{service}}", Version: "{{version}}"}) {
			for _, v := range []struct {
				name, flags string
				set         bool
			}{
				{"service", "--service", c.Service != ""},
				{"version", "--release and --live", c.Release != "" && c.Live != ""},
			} {
				if !v.set && strings.Contains(q.Text, "{{"+v.name+"}}") {
					return &usageError{fmt.Sprintf("%s of metric %q uses ${%s}; say what it is with %s", q.Name, m.Name, v.name, v.flags)}
				}
			}
		}
	}
	return nil
}

func (c *judgeCmd) vars() spec.Vars {
	return spec.Vars{Service: c.Service, Pool: c.Experiment, Other: c.Control, Version: c.Release}
}

func (c *judgeCmd) live() spec.Vars {
	return spec.Vars{Service: c.Service, Pool: c.Control, Other: c.Experiment, Version: c.Live}
}

// past judges what a Prometheus has seen.
func (c *judgeCmd) past(a *app) error {
	from, to, err := c.times()
	if err != nil {
		return err
	}
	if from.IsZero() || to.IsZero() {
		return &usageError{"--prometheus needs --from and --to"}
	}
	config, text, err := c.config(nil)
	if err != nil {
		return err
	}
	if err := c.knows(config); err != nil {
		return err
	}
	source, err := analysis.NewPrometheus(c.Prometheus)
	if err != nil {
		return &usageError{err.Error()}
	}
	return c.back(a, replayed{config: config, text: text, source: c.Prometheus, asked: true}, source, from, to)
}

// back judges the past of a source.
func (c *judgeCmd) back(a *app, r replayed, source analysis.Source, from, to time.Time) error {
	// Nothing tells what share of the traffic there was: any but none.
	task := analysis.Task{Config: r.config, Vars: c.vars(), LiveVersion: c.Live, Share: 50, Since: from, Began: from}
	past, err := replay.NewPast(a.ctx, task, source, to)
	if err != nil {
		return c.wrong(err)
	}
	r.config = past.Config()
	history := make(map[string][]judge.Sample)
	for _, m := range r.config.Metrics {
		if m.Judge != spec.JudgeSequential {
			continue
		}
		if history[m.Name], err = past.History(a.ctx, m, from); err != nil {
			return c.wrong(err)
		}
	}
	r.selfTest(history)
	return c.run(a, r, past.Looks(a.ctx, from, to), int(to.Sub(from)/r.config.Interval.Std()))
}

// selfTest learns from the history of the metrics that the judge sequential has.
func (r *replayed) selfTest(history map[string][]judge.Sample) {
	r.backgrounds = make(map[string]judge.Background)
	for _, m := range r.config.Metrics {
		if series := history[m.Name]; m.Judge == spec.JudgeSequential && len(series) > 0 {
			r.backgrounds[m.Name] = judge.SelfTest(m, r.config, series)
		}
	}
}

// run replays the looks, of which there are about so many, and shows what was
// found.
func (c *judgeCmd) run(a *app, r replayed, looks replay.Looks, about int) error {
	panel, err := judge.NewPanel(r.config, r.backgrounds)
	if err != nil {
		return &inputError{err.Error()}
	}
	panel.Call(c.Experiment, c.Control)
	progress := c.progress(a, about)
	r.result, err = replay.Run(a.ctx, panel, looks, r.config.Interval.Std(), progress.at)
	progress.end()
	if err != nil {
		return c.wrong(err)
	}
	if r.result.Looks == 0 {
		return &inputError{fmt.Sprintf("%s: there is no look between --from and --to", r.source)}
	}
	r.trail = panel.Trail()
	r.notes = append(r.notes, c.empty(r)...)
	return c.show(a, r)
}

// empty tells what was asked for by metrics that no data was found for.
func (c *judgeCmd) empty(r replayed) (notes []string) {
	for _, m := range r.config.Metrics {
		none := slices.ContainsFunc(r.result.Verdict.Findings, func(f judge.Finding) bool {
			return f.Metric == m.Name && f.Samples == 0 && f.Gaps > 0
		})
		if !none || !r.asked {
			continue
		}
		for _, q := range queries(m, c.vars()) {
			if q.Name != "bad" { // of which there may be none
				notes = append(notes, fmt.Sprintf("no look has data of %s; asked for %s was its %s, %s", m.Name, c.Experiment, q.Name, q.Text))
			}
		}
	}
	return notes
}

// wrong is how an error of a replay ends the command: what is wrong with a file
// or a query is a mistake in the input, and that a Prometheus can't be asked is
// none.
func (c *judgeCmd) wrong(err error) error {
	_, query := errors.AsType[*analysis.SpecError](err)
	if errors.Is(err, context.Canceled) || c.Prometheus != "" && !query {
		return err
	}
	return &inputError{err.Error()}
}
