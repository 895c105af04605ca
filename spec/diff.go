package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Change is one difference between two desired states.
type Change struct {
	// Path is that of a value, such as "service.web.roll.quorum", or of a
	// whole block that came or went, such as "service.web.smoke.version".
	Path string
	// Old and New are the values as JSON; empty where there is none. Both are
	// empty for a block that came or went and has no value of its own.
	Old, New string
	Kind     ChangeKind
	// Origin is where the new value was set; zero for defaults, for services
	// and environments, and for what is gone.
	Origin Origin
}

// ChangeKind says what happened to a value or block.
type ChangeKind string

// The kinds of changes, as they are printed.
const (
	Added   ChangeKind = "+"
	Changed ChangeKind = "~"
	Removed ChangeKind = "-"
)

// String is one line for people, such as
// "~ service.web.roll.quorum  2 -> 3   (web.hcl:12, owner web-team)".
func (c Change) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.Kind, c.Path)
	switch {
	case c.Old != "" && c.New != "":
		fmt.Fprintf(&b, "  %s -> %s", c.Old, c.New)
	case c.Old != "" || c.New != "":
		fmt.Fprintf(&b, "  %s", c.Old+c.New)
	}
	if origin := c.Origin.String(); origin != "" {
		fmt.Fprintf(&b, "   (%s)", origin)
	}
	return b.String()
}

// Diff lists what changes from one desired state to the next, in the order of
// the paths. A block that came or went is one change, whatever is in it.
// Either state may be nil, which stands for nothing at all.
func Diff(old, next *Desired) []Change {
	had, has := flatten(old), flatten(next)
	paths := slices.AppendSeq(slices.Collect(maps.Keys(had)), maps.Keys(has))
	slices.SortFunc(paths, byParts)

	var changes []Change
	var gone []Change // what came or went as a whole and this path is in
	for _, path := range slices.Compact(paths) {
		was, wasThere := had[path]
		is, isThere := has[path]
		for len(gone) > 0 && !strings.HasPrefix(path, gone[len(gone)-1].Path+".") {
			gone = gone[:len(gone)-1]
		}
		if slices.ContainsFunc(gone, func(c Change) bool { return c.Kind == Added && !wasThere || c.Kind == Removed && !isThere }) {
			continue // but not what may stand beside a block of the name
		}
		c := Change{Path: path, Old: was.value, New: is.value, Origin: is.origin, Kind: Changed}
		switch {
		case !wasThere:
			c.Kind = Added
		case !isThere:
			c.Kind = Removed
		case was.value == is.value:
			continue
		}
		if c.Kind != Changed && (was.block || is.block) {
			gone = append(gone, c)
		}
		changes = append(changes, c)
	}
	return changes
}

// byParts keeps a block and what is in it together, which comparing the texts
// doesn't: "-" sorts before ".".
func byParts(a, b string) int {
	return slices.Compare(strings.Split(a, "."), strings.Split(b, "."))
}

// entry is a value, or a block that may be there or not.
type entry struct {
	value  string
	block  bool
	origin Origin
}

// flatten lists all that is in a desired state, by path.
func flatten(d *Desired) map[string]entry {
	all := make(map[string]entry)
	if d == nil {
		return all
	}
	add := func(prefix string, s section, origins Origins) {
		all[prefix] = entry{block: true}
		walk(s, "", func(path string, e entry) {
			e.origin = origins[path]
			all[prefix+"."+path] = e
		})
	}
	e := d.Environment
	add("environment."+e.Name, &e, e.Origins)
	for _, s := range d.Services {
		add("service."+s.Name, &s, s.Origins)
	}
	return all
}

// walk visits what is in a section, by the same table that it is read by.
func walk(s section, path string, visit func(path string, e entry)) {
	f := s.form()
	for _, a := range f.attrs {
		if !unset(a.to) {
			visit(join(path, a.name), entry{value: render(a.to)})
		}
	}
	for _, n := range f.blocks {
		n.each(func(label string, s section) {
			inner := n.path(path, label)
			switch {
			case n.only(label):
				visit(inner, entry{value: render(label), block: true})
			case !n.always:
				visit(inner, entry{block: true})
			}
			walk(s, inner, visit)
		})
	}
}

// unset tells whether a field is as good as left out; a zero count or number
// is not.
func unset(field any) bool {
	v := reflect.ValueOf(field).Elem()
	return v.IsZero() && v.Kind() != reflect.Int && v.Kind() != reflect.Float64
}

// render writes a value as JSON on one line, without escaping what only HTML
// would mind.
func render(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprintf("(%v)", err) // no field of the language is like that
	}
	return strings.TrimSuffix(b.String(), "\n")
}
