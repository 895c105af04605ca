package main

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"switchd/judge"
	"switchd/spec"
)

// inputError is a mistake in the inputs; diagnostics have been printed.
type inputError struct{ text string }

func (e *inputError) Error() string { return e.text }

// compile reads and compiles a directory, and prints what is wrong with it.
func (a *app) compile(dir, env string) (*spec.Desired, *spec.Source, error) {
	src, diags := spec.Load(dir)
	var desired *spec.Desired
	if !diags.HasErrors() {
		var more hcl.Diagnostics
		desired, more = src.Compile(env)
		diags = append(diags, more...)
	}
	if desired != nil {
		diags = append(diags, checkExpressions(src, desired)...)
	}
	return desired, src, a.report(src, diags, dir)
}

// checkExpressions compiles those of the judge expr.
func checkExpressions(src *spec.Source, desired *spec.Desired) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, s := range desired.Services {
		if s.Analysis == nil {
			continue
		}
		for _, m := range s.Analysis.Metrics {
			if m.Judge != spec.JudgeExpr {
				continue
			}
			if err := judge.CheckExpr(m); err != nil {
				diags = append(diags, mistake(src, s, m.Name, "expr", hcl.DiagError,
					"Invalid expression", fmt.Sprintf("The expression of metric %q of service %q: %v.", m.Name, s.Name, err)))
			}
		}
	}
	return diags
}

// mistake is a diagnostic about an attribute of a metric.
func mistake(src *spec.Source, s spec.Service, metric, attribute string, severity hcl.DiagnosticSeverity, summary, detail string) *hcl.Diagnostic {
	d := &hcl.Diagnostic{Severity: severity, Summary: summary, Detail: detail}
	for path := "metric." + metric + "." + attribute; path != "metric"; path = path[:strings.LastIndexByte(path, '.')] {
		if at, ok := s.Origins[path]; ok {
			d.Subject = src.Line(at)
			break
		}
	}
	return d
}

// report prints what is wrong with the inputs of a directory.
func (a *app) report(src *spec.Source, diags hcl.Diagnostics, dir string) error {
	if len(diags) > 0 {
		if err := spec.WriteDiagnostics(a.stderr, src, diags); err != nil {
			return fmt.Errorf("print the mistakes: %w", err)
		}
	}
	if diags.HasErrors() {
		return &inputError{fmt.Sprintf("%s in %s", plural(len(diags.Errs()), "mistake"), dir)}
	}
	return nil
}

// printTightened tells what policies have made stricter, but for what they had
// in the old state, which may be nil.
func (a *app) printTightened(old, desired *spec.Desired) {
	had := make(map[string]bool)
	line := func(service string, t spec.Tightening) string {
		return fmt.Sprintf("tightened service.%s.%s", service, t)
	}
	if old != nil {
		for _, s := range old.Services {
			for _, t := range s.Tightened {
				had[line(s.Name, t)] = true
			}
		}
	}
	for _, s := range desired.Services {
		for _, t := range s.Tightened {
			if text := line(s.Name, t); !had[text] {
				a.printf("%s\n", text)
			}
		}
	}
}
