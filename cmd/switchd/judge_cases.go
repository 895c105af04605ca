package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"switchd/judge/mannwhitney"
	"switchd/status"
)

// scoreFlags sum the cases of the judge mannwhitney up.
type scoreFlags struct {
	Score    bool               `help:"Sum cases of the judge mannwhitney up to a score."`
	Pass     float64            `help:"Least score that passes; 95 if not set." default:"95" placeholder:"PERCENT"`
	Marginal float64            `help:"Least score that is marginal; 75 if not set." default:"75" placeholder:"PERCENT"`
	Weight   map[string]float64 `help:"Weights of groups in the score; those without one share what is left." mapsep:"," placeholder:"GROUP=PERCENT"`
}

// cases judges a file of cases of the judge mannwhitney.
func (c *judgeCmd) cases(a *app, file io.Reader, name string) error {
	if err := c.checkScore(); err != nil {
		return err
	}
	cases, err := mannwhitney.ReadCases(file, name)
	if err != nil {
		return &inputError{err.Error()}
	}
	wrong := 0
	results := make([]mannwhitney.Result, 0, len(cases))
	for i := range cases {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if len(cases[i].Unknown) > 0 {
			a.notef("switchd: warning: %s: unknown fields are ignored: %s\n", cases[i].Place, strings.Join(cases[i].Unknown, ", "))
		}
		if cases[i].Fault != nil {
			wrong++
		}
		result := cases[i].Judge()
		results = append(results, result)
		if c.JSON {
			if err := json.NewEncoder(a.stdout).Encode(result); err != nil {
				return fmt.Errorf("print the verdict: %w", err)
			}
		}
	}
	if !c.JSON {
		if err := printVerdicts(a.stdout, results); err != nil {
			return fmt.Errorf("print the verdicts: %w", err)
		}
	}
	if c.Score {
		if err := c.sum(a, results); err != nil {
			return fmt.Errorf("print the score: %w", err)
		}
	}
	if wrong > 0 {
		return &inputError{fmt.Sprintf("%s of %d can't be judged", plural(wrong, "case"), len(cases))}
	}
	return nil
}

func (c *scoreFlags) checkScore() error {
	for group, weight := range c.Weight {
		if !(weight >= 0 && weight <= 100) {
			return &usageError{fmt.Sprintf("--weight: the weight of group %q is %v, want a number from 0 to 100", group, weight)}
		}
	}
	if !(0 <= c.Marginal && c.Marginal <= c.Pass && c.Pass <= 100) {
		return &usageError{fmt.Sprintf("--marginal is %v and --pass %v, want numbers from 0 to 100, the first not above the second", c.Marginal, c.Pass)}
	}
	return nil
}

// sum prints what the verdicts come to.
func (c *judgeCmd) sum(a *app, results []mannwhitney.Result) error {
	score := mannwhitney.Sum(results, c.Weight, mannwhitney.Thresholds{Pass: c.Pass, Marginal: c.Marginal})
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(score)
	}
	a.printf("\nscore %v: %s", score.Score, score.Grade)
	if score.Reason != "" {
		a.printf(", since %s", score.Reason)
	}
	a.printf("\n")
	if len(score.Groups) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "GROUP\tWEIGHT\tSCORE\tMETRICS\tNO DATA")
	for _, g := range score.Groups {
		_, _ = fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%d\t%d\n", g.Name, g.Weight, g.Score, g.Metrics, g.NoData)
	}
	return w.Flush()
}

// printVerdicts prints a table for people.
func printVerdicts(to io.Writer, results []mannwhitney.Result) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tVERDICT\tCONTROL\tEXPERIMENT\tWHY")
	for _, r := range results {
		verdict := string(r.Classification)
		if r.Critical {
			verdict += " (critical)"
		}
		if r.Muted {
			verdict += " (muted)"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", status.Printable(r.Name), verdict, side(r.Control), side(r.Experiment), status.Printable(r.Reason))
	}
	return w.Flush()
}

// side is how many values there are, and where.
func side(s mannwhitney.Summary) string {
	if s.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("%d, mean %.4g", s.Count, float64(s.Mean))
}
