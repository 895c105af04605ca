package spec

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// attr binds an attribute's name to the field that it fills.
type attr struct {
	name     string
	to       any                    // pointer to the field
	set      func(cty.Value) *fault // converts, checks and stores
	required bool
}

func (a attr) must() attr {
	a.required = true
	return a
}

// fault says what is wrong with a value, or with one element of it.
type fault struct {
	element any    // int or string, the key of the element; nil: the whole value
	key     bool   // whether the key itself is wrong
	want    string // completes "must be …"
	got     cty.Value
	hint    string
}

// rangeIn finds the faulty element in a literal list or object; whatever else
// the expression is, it is to blame as a whole.
func (f *fault) rangeIn(expr hcl.Expression) hcl.Range {
	switch key := f.element.(type) {
	case int:
		if items, diags := hcl.ExprList(expr); !diags.HasErrors() && key < len(items) {
			return items[key].Range()
		}
	case string:
		pairs, _ := hcl.ExprMap(expr)
		for _, pair := range pairs {
			if k, diags := pair.Key.Value(nil); !diags.HasErrors() && k.RawEquals(cty.StringVal(key)) {
				return hcl.RangeBetween(pair.Key.Range(), pair.Value.Range())
			}
		}
	}
	return expr.Range()
}

// detail is the sentence for people.
func (f *fault) detail(path string) string {
	switch {
	case f.key:
		path = "A key of " + path
	case f.element != nil:
		path = fmt.Sprintf("%s[%#v]", path, f.element)
	}
	return fmt.Sprintf("%s is %s, but must be %s.%s", path, show(f.got), f.want, f.hint)
}

func text(name string, to *string, r rule) attr {
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		s, ok := str(v)
		if !ok || !r.ok(s) {
			return &fault{want: r.want, got: v, hint: r.hint(s)}
		}
		*to = s
		return nil
	}}
}

// query drops the space around a text, which heredocs bring along.
func query(name string, to *string) attr {
	return trimmed(text(name, to, queryRule()), to)
}

func trimmed(a attr, to *string) attr {
	return a.then(func() { *to = strings.TrimSpace(*to) })
}

// then does something more once a value is stored.
func (a attr) then(more func()) attr {
	set := a.set
	a.set = func(v cty.Value) *fault {
		if f := set(v); f != nil {
			return f
		}
		more()
		return nil
	}
	return a
}

// texts is a list of at least one text; with distinct, none comes twice.
func texts(name string, to *[]string, r rule, distinct bool) attr {
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		items, ok := elements(v)
		if !ok || len(items) == 0 {
			return &fault{want: "a list of at least one, each " + r.want, got: v}
		}
		list := make([]string, len(items))
		for i, item := range items {
			s, ok := str(item)
			if !ok || !r.ok(s) {
				return &fault{element: i, want: r.want, got: item, hint: r.hint(s)}
			}
			if distinct && slices.Contains(list[:i], s) {
				return &fault{element: i, want: "different from those before it", got: item}
			}
			list[i] = s
		}
		*to = list
		return nil
	}}
}

func textMap(name string, to *map[string]string, key, value rule) attr {
	return object(name, to, `"value"`, key, func(v cty.Value) (string, *fault) {
		s, ok := str(v)
		if !ok || !value.ok(s) {
			return "", &fault{want: value.want, got: v, hint: value.hint(s)}
		}
		return s, nil
	})
}

// wholeMap is an object of whole numbers that are not negative.
func wholeMap(name string, to *map[string]uint64, key rule) attr {
	return object(name, to, "1024", key, func(v cty.Value) (uint64, *fault) {
		n, ok := float(v)
		if !ok || n != math.Trunc(n) || n < 0 || n > 1<<53 {
			return 0, &fault{want: "a whole number from 0 to 2^53", got: v}
		}
		return uint64(n), nil
	})
}

// numbers is an object of numbers.
func numbers(name string, to *map[string]float64, key rule, least, most float64) attr {
	return object(name, to, "50", key, func(v cty.Value) (float64, *fault) {
		n, ok := float(v)
		if !ok || n < least || n > most {
			return 0, &fault{want: fmt.Sprintf("a number from %v to %v", least, most), got: v}
		}
		return n, nil
	})
}

// object is a map of values of one kind; example is one of them, as inputs
// write it.
func object[T any](name string, to *map[string]T, example string, key rule, read func(cty.Value) (T, *fault)) attr {
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		if !v.Type().IsObjectType() && !v.Type().IsMapType() {
			return &fault{want: fmt.Sprintf("an object, such as { key = %s }", example), got: v}
		}
		items := v.AsValueMap()
		var m map[string]T
		for _, k := range slices.Sorted(maps.Keys(items)) {
			if !key.ok(k) {
				return &fault{element: k, key: true, want: key.want, got: cty.StringVal(k), hint: key.hint(k)}
			}
			value, wrong := read(items[k])
			if wrong != nil {
				wrong.element = k
				return wrong
			}
			if m == nil {
				m = make(map[string]T, len(items))
			}
			m[k] = value
		}
		*to = m
		return nil
	}}
}

// in is an attribute of some kind whose value is kept under its name in a map.
func in[T any](name string, to *map[string]T, kind func(name string, to *T) attr) attr {
	value := (*to)[name]
	return kind(name, &value).then(func() {
		if *to == nil {
			*to = make(map[string]T)
		}
		(*to)[name] = value
	})
}

func whole(name string, to *int, least, most int) attr {
	want := fmt.Sprintf("a whole number from %d to %d", least, most)
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		n, ok := integer(v)
		if !ok || n < least || n > most {
			return &fault{want: want, got: v}
		}
		*to = n
		return nil
	}}
}

// rising is a list of whole numbers, each larger than the one before.
func rising(name string, to *[]int, least, most int) attr {
	want := fmt.Sprintf("a whole number from %d to %d", least, most)
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		items, ok := elements(v)
		if !ok {
			return &fault{want: "a list of rising whole numbers, such as [5, 25]", got: v}
		}
		var list []int
		for i, item := range items {
			n, ok := integer(item)
			if !ok || n < least || n > most {
				return &fault{element: i, want: want, got: item}
			}
			if i > 0 && n <= list[i-1] {
				return &fault{element: i, want: fmt.Sprintf("larger than the %d before it", list[i-1]), got: item}
			}
			list = append(list, n)
		}
		*to = list
		return nil
	}}
}

func number(name string, to *float64, least, most float64) attr {
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		n, ok := float(v)
		if !ok || n < least || n > most {
			return &fault{want: fmt.Sprintf("a number from %v to %v", least, most), got: v}
		}
		*to = n
		return nil
	}}
}

// bound is a number of any size that may be left out.
func bound(name string, to **float64) attr {
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		n, ok := float(v)
		if !ok {
			return &fault{want: "a number", got: v}
		}
		*to = &n
		return nil
	}}
}

// limit is a whole number that may be left out.
func limit(name string, to **int, least, most int) attr {
	var n int
	a := whole(name, &n, least, most).then(func() { *to = &n })
	a.to = to
	return a
}

const (
	shortest = time.Millisecond
	longest  = 30 * 24 * time.Hour
	day      = 24 * time.Hour
)

func span(name string, to *Duration, least time.Duration) attr {
	want := fmt.Sprintf("a duration from %v to 720h, such as \"90s\" or \"1h30m\"", least)
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		d, ok := duration(v)
		if !ok || d < least || d > longest {
			return &fault{want: want, got: v}
		}
		*to = Duration(d)
		return nil
	}}
}

// seconds is a time of DNS, which counts in whole ones (RFC 2181 section 8).
func seconds(name string, to *Duration, most time.Duration) attr {
	want := fmt.Sprintf("a duration of whole seconds from 1s to %dh, such as \"60s\"", most/time.Hour)
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		d, ok := duration(v)
		if !ok || d < time.Second || d > most || d%time.Second != 0 {
			return &fault{want: want, got: v}
		}
		*to = Duration(d)
		return nil
	}}
}

func flag(name string, to *bool) attr {
	return attr{name: name, to: to, set: func(v cty.Value) *fault {
		b, err := convert.Convert(v, cty.Bool)
		if err != nil || b.IsNull() {
			return &fault{want: "true or false", got: v}
		}
		*to = b.True()
		return nil
	}}
}

func str(v cty.Value) (string, bool) {
	s, err := convert.Convert(v, cty.String)
	if err != nil || s.IsNull() {
		return "", false
	}
	return s.AsString(), true
}

func float(v cty.Value) (float64, bool) {
	n, err := convert.Convert(v, cty.Number)
	if err != nil || n.IsNull() {
		return 0, false
	}
	f, _ := n.AsBigFloat().Float64()
	return f, !math.IsInf(f, 0)
}

func integer(v cty.Value) (int, bool) {
	f, ok := float(v)
	return int(f), ok && f == math.Trunc(f) && math.Abs(f) < 1<<31
}

func duration(v cty.Value) (time.Duration, bool) {
	s, ok := str(v)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

func elements(v cty.Value) ([]cty.Value, bool) {
	if t := v.Type(); !t.IsTupleType() && !t.IsListType() {
		return nil, false
	}
	return v.AsValueSlice(), true
}

// show writes a value on one line, not longer than a person wants to read.
func show(v cty.Value) string {
	const most = 80
	written := render(ctyjson.SimpleJSONValue{Value: v})
	if v.Type() == cty.String && !v.IsNull() {
		written = render(v.AsString())
	}
	if runes := []rune(written); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return written
}
