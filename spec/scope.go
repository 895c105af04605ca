package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// scope is where a check looks: a block of what is being compiled.
type scope struct {
	c    *compiler
	path string
}

// wrong reports something about an attribute or block below the scope, at the
// place where it was set or, if it wasn't, at the block around it.
func (at scope) wrong(name, summary, format string, args ...any) {
	at.c.diags = append(at.c.diags, &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  summary,
		Detail:   fmt.Sprintf(format, args...),
		Subject:  at.where(name).Ptr(),
	})
}

// set tells whether an attribute of the scope was set.
func (at scope) set(name string) bool {
	_, ok := at.c.places[join(at.path, name)]
	return ok
}

func (at scope) where(name string) hcl.Range {
	path := at.path
	if name != "" {
		path = join(path, name)
	}
	for path != "" {
		if place, ok := at.c.places[path]; ok {
			return place
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
	return at.c.home
}

// said is where a value of the scope comes from, for people.
func (at scope) said(name string) string {
	if origin := at.c.origins[join(at.path, name)].String(); origin != "" {
		return origin
	}
	return "the default"
}

// place is a range as people write it.
func place(r hcl.Range) string {
	return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line)
}

// sortDiagnostics orders by place, for HCL keeps attributes in maps.
func sortDiagnostics(diags hcl.Diagnostics) {
	slices.SortStableFunc(diags, func(a, b *hcl.Diagnostic) int {
		var x, y hcl.Range
		if a.Subject != nil {
			x = *a.Subject
		}
		if b.Subject != nil {
			y = *b.Subject
		}
		return cmp.Or(
			cmp.Compare(x.Filename, y.Filename),
			cmp.Compare(x.Start.Byte, y.Start.Byte),
			cmp.Compare(a.Summary, b.Summary),
			cmp.Compare(a.Detail, b.Detail),
		)
	})
}
