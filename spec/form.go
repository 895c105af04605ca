package spec

import (
	"maps"
	"slices"
)

// section is a block of the language, bound to the value that it fills.
type section interface {
	form() form
}

// form is all that may stand in a block. This one table serves for reading
// inputs, for complaining about them and for comparing their results.
type form struct {
	attrs  []attr
	blocks []nested
	// check looks at the values together, once each of them is right.
	check func(at scope)
}

// nested is a block within a block.
type nested struct {
	name  string
	label *rule // nil: the block has no label
	// one says that there may be no second one with another label, but for
	// beside, if that isn't empty.
	one    bool
	beside string
	// always says that the section is there even if no input writes it.
	always bool
	// top says that paths start with this block, whatever it stands in.
	top bool
	// add makes a section with its defaults, has it filled and keeps it.
	add func(label string, fill func(section))
	// each visits the sections that are there, in stable order.
	each func(visit func(label string, s section))
}

// path is where the block's values are: under its label where there may be
// several.
func (n nested) path(outer, label string) string {
	if n.top {
		outer = ""
	}
	path := join(outer, n.name)
	if n.label != nil && !n.only(label) {
		path = join(path, label)
	}
	return path
}

// only tells whether there may be no other block beside one with this label.
func (n nested) only(label string) bool { return n.one && (n.beside == "" || label != n.beside) }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// pointer is a section that is a pointer to a T.
type pointer[T any] interface {
	*T
	section
}

// single is a block without a label that always has a value.
func single(name string, s section) nested {
	return nested{
		name:   name,
		always: true,
		add:    func(_ string, fill func(section)) { fill(s) },
		each:   func(visit func(string, section)) { visit("", s) },
	}
}

// chosen is a block whose label says which kind of thing it is.
func chosen(name string, kinds rule, kind *string, s section) nested {
	return nested{
		name:  name,
		label: &kinds,
		one:   true,
		add: func(label string, fill func(section)) {
			*kind = label
			fill(s)
		},
		each: func(visit func(string, section)) {
			if *kind != "" {
				visit(*kind, s)
			}
		},
	}
}

// chosenIf is a block that may be left out, whose label says which kind of
// thing it is.
func chosenIf[T any, P pointer[T]](name string, kinds rule, to **T, fresh func(label string) T, kind func(T) string) nested {
	return nested{
		name:  name,
		label: &kinds,
		one:   true,
		add: func(label string, fill func(section)) {
			v := fresh(label)
			fill(P(&v))
			*to = &v
		},
		each: func(visit func(string, section)) {
			if *to != nil {
				visit(kind(**to), P(*to))
			}
		},
	}
}

// optional is a block without a label that may be left out.
func optional[T any, P pointer[T]](name string, to **T, fresh func() T) nested {
	return nested{
		name: name,
		add: func(_ string, fill func(section)) {
			v := fresh()
			fill(P(&v))
			*to = &v
		},
		each: func(visit func(string, section)) {
			if *to != nil {
				visit("", P(*to))
			}
		},
	}
}

// listed are labelled blocks kept in a list, which is sorted because labels
// are added in order.
func listed[T any, P pointer[T]](name string, label rule, to *[]T, fresh func(label string) T, key func(T) string) nested {
	return nested{
		name:  name,
		label: &label,
		add: func(label string, fill func(section)) {
			v := fresh(label)
			fill(P(&v))
			*to = append(*to, v)
		},
		each: func(visit func(string, section)) {
			for i := range *to {
				visit(key((*to)[i]), P(&(*to)[i]))
			}
		},
	}
}

// keyed are labelled blocks kept in a map.
func keyed[T any, P pointer[T]](name string, label rule, to *map[string]T, fresh func(label string) T) nested {
	return nested{
		name:  name,
		label: &label,
		add: func(label string, fill func(section)) {
			v := fresh(label)
			fill(P(&v))
			if *to == nil {
				*to = make(map[string]T)
			}
			(*to)[label] = v
		},
		each: func(visit func(string, section)) {
			for _, label := range slices.Sorted(maps.Keys(*to)) {
				v := (*to)[label]
				visit(label, P(&v))
			}
		},
	}
}
