package mannwhitney

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// object is a JSON object whose fields are taken one by one.
type object struct {
	fields map[string]json.RawMessage
	place  string
	prefix string // of an object within another
	err    error  // the first fault
}

func (o *object) fault(format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf("%s: %s%w", o.place, o.prefix, fmt.Errorf(format, args...))
	}
}

// pick removes a field. One that is null counts as absent.
func (o *object) pick(name string) (raw json.RawMessage, ok bool) {
	raw, ok = o.fields[name]
	delete(o.fields, name)
	return raw, ok && string(raw) != "null"
}

// take sets a variable to a field if it is there.
func take[T any](o *object, name, want string, into *T) {
	raw, ok := o.pick(name)
	if !ok {
		return
	}
	var value T
	if err := json.Unmarshal(raw, &value); err != nil {
		o.fault("%s is %s, want %s", name, brief(raw), want)
		return
	}
	*into = value
}

// number sets a variable to a field if it is there.
func (o *object) number(name string, into *float64) {
	value := Number(*into)
	take(o, name, "a number", &value)
	*into = float64(value)
}

// within takes the fields of an object within this one.
func (o *object) within(name string, fields func(*object)) {
	inner := object{place: o.place, prefix: name + "."}
	take(o, name, "an object", &inner.fields)
	fields(&inner)
	if o.err == nil {
		o.err = inner.err
	}
	for left, raw := range inner.fields {
		o.fields[inner.prefix+left] = raw
	}
}

// values takes a series.
func (o *object) values(name string) []float64 {
	raw, ok := o.pick(name)
	if !ok {
		return nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		o.fault("%s is %s, want an array of numbers", name, brief(raw))
		return nil
	}
	if len(items) > MaxValues {
		o.fault("%s has %d values, at most %d can be judged", name, len(items), MaxValues)
		return nil
	}
	values := make([]float64, len(items))
	for i, item := range items {
		var n Number
		if err := n.UnmarshalJSON(item); err != nil {
			o.fault("%s[%d]: %w", name, i, err)
			return nil
		}
		values[i] = float64(n)
	}
	return values
}

// rest names the fields that were not taken.
func (o *object) rest() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(o.fields)), func(name string) bool { return strings.HasPrefix(name, "expected") })
}
