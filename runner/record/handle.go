package record

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"switchd/runner"
)

// Handle writes what a kind of runtime must know to find one start in its
// record, as kind:name=value&…, sorted by name and with the values escaped as
// in a URL's query.
func Handle(kind string, fields map[string]string) runner.Handle {
	values := make(url.Values, len(fields))
	for name, value := range fields {
		values.Set(name, value)
	}
	return runner.Handle(kind + ":" + values.Encode())
}

// ParseHandle returns the fields of a handle, which must be exactly those that
// are named: what it takes, Handle writes in the same way.
func ParseHandle(kind string, h runner.Handle, names ...string) (map[string]string, error) {
	query, ok := strings.CutPrefix(string(h), kind+":")
	if !ok {
		return nil, fmt.Errorf("handle %q is not one of the runtime %q: it does not begin with the name and a colon", h, kind)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("handle %q: %w", h, err)
	}
	fields := make(map[string]string, len(names))
	for _, name := range names {
		fields[name] = values.Get(name)
	}
	if Handle(kind, fields) != h {
		return nil, fmt.Errorf("handle %q: want %s once each, in this order, and nothing else", h, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
	}
	return fields, nil
}
