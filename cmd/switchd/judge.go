package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"switchd/judge/sequential"
)

type judgeCmd struct {
	Input  string `help:"File to judge: samples as CSV, JSON or OpenMetrics, or cases of the judge mannwhitney in JSON; - is standard input." placeholder:"FILE"`
	Format string `help:"What the file has: csv, json or openmetrics; auto goes by its extension, and - has json." enum:"auto,csv,json,openmetrics" default:"auto" placeholder:"NAME"`

	Prometheus string `help:"Judge the past as the Prometheus at this URL has it, from --from to --to." placeholder:"URL"`
	Rollout    string `help:"Show the evidence of a rollout, the newest one's if no ID is named." placeholder:"SERVICE[/ID]"`
	Primitive  string `help:"Compute a building block of the sequential judge: ${primitives}." placeholder:"NAME"`
	Args       string `help:"Arguments of the building block, a JSON object." default:"{}" placeholder:"JSON"`

	judgedFlags `embed:"" group:"What is judged:"`
	quickFlags  `embed:"" group:"How it is judged, without --config:"`
	shownFlags  `embed:"" group:"What is shown:"`
	scoreFlags  `embed:"" group:"Scores:"`
}

func (c *judgeCmd) Help() string {
	return `Nothing is changed anywhere. It ends with 0 when it could judge, whatever was found, unless --exit-code is given.

A CSV file has a header and a row for each time and side, in the order of time: time (the end of a step, RFC 3339 or seconds or milliseconds since 1970), side or pool (experiment, control, or their names), and either bad and total (events in the step), or le=0.1, le=0.5, …, le=+Inf (events that took at most so long), or value; metric and node are optional. Or it has time and a column of values for each side, named like it.

A JSON file of samples has an array for each metric: {"errors": [{"at": …, "experiment": {"nodes": {"a": {"total": 100, "bad": [1]}}}, "control": {…}}]}.

An OpenMetrics file has series with timestamps, as promtool tsdb dump-openmetrics writes them.`
}

func (c *judgeCmd) Run(a *app) error {
	named := 0
	for _, source := range []string{c.Input, c.Prometheus, c.Rollout, c.Primitive} {
		if source != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return &usageError{"name one of: a file with --input, a Prometheus with --prometheus, a rollout with --rollout, a building block with --primitive"}
	case c.Primitive != "":
		return c.primitive(a)
	case c.Prometheus != "":
		return c.past(a)
	case c.Rollout != "":
		return c.rollout(a)
	default:
		return c.file(a)
	}
}

// open opens the input, and gives it a name for people.
func (c *judgeCmd) open() (io.ReadCloser, string, error) {
	if c.Input == "-" {
		return io.NopCloser(os.Stdin), "standard input", nil
	}
	file, err := os.Open(c.Input)
	if err != nil {
		return nil, c.Input, fmt.Errorf("read the input: %w", err)
	}
	return file, c.Input, nil
}

// primitive prints a building block of the sequential judge.
func (c *judgeCmd) primitive(a *app) error {
	value, err := sequential.Primitive(c.Primitive, json.RawMessage(c.Args))
	if err != nil {
		return &usageError{err.Error()}
	}
	if err := json.NewEncoder(a.stdout).Encode(value); err != nil {
		return fmt.Errorf("print primitive %s: %w", c.Primitive, err)
	}
	return nil
}
