package train

import (
	"fmt"
	"slices"
	"strings"

	"switchd/spec"
)

// CycleError is a cycle of dependencies. Files that are compiled together have
// none, but desired state can be written in pieces.
type CycleError struct {
	Path []string // its first service is its last one, too
}

// Error shows the path.
func (e *CycleError) Error() string {
	return fmt.Sprintf("each of these services would wait for the next one for ever: %s; remove one of the dependencies (depends_on) and `switchd apply`",
		strings.Join(e.Path, " → "))
}

// coupling is a service's place in a train.
type coupling struct {
	service string
	// after are the nearest services of the train that it depends on, directly or
	// through services that are not in the train.
	after []string
}

// couple finds the order in which the named services go: each after those that
// it depends on, otherwise in the order in which they are given.
func couple(services []spec.Service, names []string) ([]coupling, error) {
	c := coupler{needs: make(map[string][]string, len(services)), named: names, seen: make(map[string]bool)}
	for _, s := range services {
		c.needs[s.Name] = s.DependsOn
	}
	for _, name := range names {
		if err := c.visit(name); err != nil {
			return nil, err
		}
	}
	couplings := make([]coupling, 0, len(c.order))
	for _, name := range c.order {
		couplings = append(couplings, coupling{service: name, after: c.nearest(name)})
	}
	return couplings, nil
}

// coupler walks the dependencies depth first.
type coupler struct {
	needs map[string][]string
	named []string
	path  []string // from a named service to the one that is visited
	seen  map[string]bool
	order []string
}

func (c *coupler) visit(name string) error {
	if i := slices.Index(c.path, name); i >= 0 {
		return &CycleError{Path: append(slices.Clone(c.path[i:]), name)}
	}
	if c.seen[name] {
		return nil
	}
	c.path = append(c.path, name)
	for _, next := range c.needs[name] {
		if err := c.visit(next); err != nil {
			return err
		}
	}
	c.path = c.path[:len(c.path)-1]
	c.seen[name] = true
	if slices.Contains(c.named, name) {
		c.order = append(c.order, name)
	}
	return nil
}

// nearest are the named services that a service depends on with none of them in
// between, in the order of the train.
func (c *coupler) nearest(name string) []string {
	seen := make(map[string]bool)
	var walk func(of string)
	walk = func(of string) {
		for _, next := range c.needs[of] {
			if seen[next] {
				continue
			}
			seen[next] = true
			if !slices.Contains(c.named, next) {
				walk(next)
			}
		}
	}
	walk(name)
	var near []string
	for _, other := range c.order {
		if seen[other] {
			near = append(near, other)
		}
	}
	return near
}
