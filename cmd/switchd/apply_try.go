package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"

	"switchd/analysis"
	"switchd/spec"
)

// tryTimeout bounds the trial of all queries. Each one has a shorter time of its
// own.
const tryTimeout = 30 * time.Second

// tryQueries asks Prometheus every query of the analyses once. What it refuses
// is an error. That a server can't be asked is a warning, told once, and so is
// that nothing answers to a query now: both may be right tomorrow.
func tryQueries(ctx context.Context, src *spec.Source, desired *spec.Desired) hcl.Diagnostics {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	var diags hcl.Diagnostics
	away := make(map[string]bool) // by URL
	for _, s := range desired.Services {
		if s.Analysis == nil || away[s.Analysis.Prometheus] {
			continue
		}
		prometheus, err := analysis.NewPrometheus(s.Analysis.Prometheus)
		if err != nil {
			diags = append(diags, unasked(src, s, err))
			continue
		}
		// Either pool may be the new one.
		vars := spec.Vars{Service: s.Name, Pool: spec.Green, Other: spec.Blue}
		for _, f := range analysis.Try(ctx, *s.Analysis, vars, prometheus) {
			switch {
			case f.Mistake():
				diags = append(diags, mistake(src, s, f.Metric, f.Attribute, hcl.DiagError, "Query that can't be used",
					fmt.Sprintf("Tried on %s, %s of metric %q of service %q: %v.", s.Analysis.Prometheus, f.Attribute, f.Metric, s.Name, f.Err)))
			case !f.Note():
				away[s.Analysis.Prometheus] = true
				diags = append(diags, unasked(src, s, f.Err))
			case f.Attribute != "bad": // of which there may be none yet
				diags = append(diags, mistake(src, s, f.Metric, f.Attribute, hcl.DiagWarning, "No data now",
					fmt.Sprintf("No series answers to %s of metric %q of service %q at present. Without any, the analysis can't decide.", f.Attribute, f.Metric, s.Name)))
			}
		}
	}
	return diags
}

// unasked is that the queries of a service could not be tried.
func unasked(src *spec.Source, s spec.Service, err error) *hcl.Diagnostic {
	return &hcl.Diagnostic{
		Severity: hcl.DiagWarning,
		Summary:  "Queries not tried",
		Detail:   fmt.Sprintf("Not all queries of service %q, and of others on the same Prometheus, could be tried: %v. They are taken as they are; --no-try asks nothing.", s.Name, err),
		Subject:  src.Line(s.Origins["analysis"]),
	}
}
