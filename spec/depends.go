package spec

import (
	"slices"
	"strings"
)

// checkDependencies finds dependencies on services that aren't there, and
// cycles, each of which is reported once.
func checkDependencies(all []compiled, declared []string, env string) {
	byName := make(map[string]*compiled, len(all))
	for i := range all {
		byName[all[i].Name] = &all[i]
	}
	slices.Sort(declared)
	for i := range all {
		at := scope{c: all[i].compiler}
		for _, name := range all[i].DependsOn {
			switch {
			case byName[name] != nil:
			case slices.Contains(declared, name):
				at.wrong("depends_on", "Dependency not in environment",
					"Service %q depends on %q, which is not in environment %q. Extend the environments of %q, or depend on it elsewhere only.",
					all[i].Name, name, env, name)
			default:
				at.wrong("depends_on", "Unknown service",
					"Service %q depends on %q, which no file declares.%s", all[i].Name, name, DidYouMean(name, declared))
			}
		}
	}

	done := make(map[string]bool)
	var follow func(name string, path []string)
	follow = func(name string, path []string) {
		if i := slices.Index(path, name); i >= 0 {
			scope{c: byName[name].compiler}.wrong("depends_on", "Dependency cycle",
				"Each of these services would wait for the next one for ever: %s. Remove one of the dependencies.",
				strings.Join(append(path[i:], name), " → "))
			return
		}
		if done[name] || byName[name] == nil {
			return
		}
		path = append(path, name)
		for _, next := range byName[name].DependsOn {
			follow(next, path)
		}
		done[name] = true
	}
	for i := range all {
		follow(all[i].Name, nil)
	}
}
