package process

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// resources are the limits that can be set, in the order in which they are
// set: the last ones can keep this process itself from going on.
func resources() []resource {
	return []resource{
		{"core", unix.RLIMIT_CORE},
		{"memlock", unix.RLIMIT_MEMLOCK},
		{"nofile", unix.RLIMIT_NOFILE},
		{"nproc", unix.RLIMIT_NPROC},
		{"as", unix.RLIMIT_AS},
	}
}

type resource struct {
	name   string
	number int
}

// checkLimits finds names that are no limits.
func checkLimits(limits map[string]uint64) error {
	var known []string
	for _, r := range resources() {
		known = append(known, r.name)
	}
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("limit %q is unknown: use one of %q", name, known)
		}
	}
	return nil
}

// setLimits sets the soft and the hard limits of this process, setrlimit(2).
func setLimits(limits map[string]uint64) error {
	for _, r := range resources() {
		value, ok := limits[r.name]
		if !ok {
			continue
		}
		// syscall's, not unix's: the Go runtime must know that the limit of
		// open files isn't its own any more, which it puts back at an exec.
		err := syscall.Setrlimit(r.number, &syscall.Rlimit{Cur: value, Max: value})
		if errors.Is(err, syscall.EPERM) {
			return fmt.Errorf("limit %s = %d: more than this node allows its agent: %w; raise the limit of the agent (in a systemd unit: Limit%s=), or lower the service's",
				r.name, value, err, directive(r.name))
		}
		if err != nil {
			return fmt.Errorf("limit %s = %d: %w", r.name, value, err)
		}
	}
	return nil
}

// directive is the name of a limit in a systemd unit, see systemd.exec(5).
func directive(name string) string {
	return map[string]string{"core": "CORE", "memlock": "MEMLOCK", "nofile": "NOFILE", "nproc": "NPROC", "as": "AS"}[name]
}
