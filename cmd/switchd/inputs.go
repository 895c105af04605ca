package main

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"switchd/spec"
)

// inputError is a mistake in the inputs; diagnostics have been printed.
type inputError struct{ text string }

func (e *inputError) Error() string { return e.text }

// compile reads and compiles a directory, and prints what is wrong with it.
func (a *app) compile(dir, env string) (*spec.Desired, error) {
	src, diags := spec.Load(dir)
	var desired *spec.Desired
	if !diags.HasErrors() {
		var more hcl.Diagnostics
		desired, more = src.Compile(env)
		diags = append(diags, more...)
	}
	if len(diags) > 0 {
		if err := spec.WriteDiagnostics(a.stderr, src, diags); err != nil {
			return nil, fmt.Errorf("print the mistakes: %w", err)
		}
	}
	if diags.HasErrors() {
		return nil, &inputError{fmt.Sprintf("%s in %s", plural(len(diags.Errs()), "mistake"), dir)}
	}
	return desired, nil
}
