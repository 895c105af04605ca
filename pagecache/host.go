package pagecache

import (
	"fmt"
	"math"

	"github.com/prometheus/procfs"
)

// host is where the kernel tells about memory.
type host struct {
	proc    string // procfs
	cgroups string // the control groups' file systems
}

func defaultHost() host { return host{proc: "/proc", cgroups: "/sys/fs/cgroup"} }

// room returns an error if so many bytes and the reserve are not to be had, in
// the machine or in any control group that this process is in: pages are
// counted to the group of whoever reads them first (cgroups(7)).
func (h host) room(need int64) error {
	if need == 0 {
		return nil
	}
	proc, err := procfs.NewFS(h.proc)
	if err != nil {
		return fmt.Errorf("look for memory: %w", err)
	}
	machine, err := proc.Meminfo()
	if err != nil {
		return fmt.Errorf("look for memory: %w", err)
	}
	if machine.MemAvailableBytes == nil {
		return fmt.Errorf("look for memory: %s/meminfo has no MemAvailable (Linux 3.14)", h.proc)
	}
	available := int64(min(*machine.MemAvailableBytes, math.MaxInt64))
	if available-reserve < need {
		return fmt.Errorf("%w: MemAvailable is %s, of which %s are left to others; preload less, or give the machine more memory",
			ErrNoMemory, mebibytes(available), mebibytes(reserve))
	}
	groups, err := h.groups(proc)
	if err != nil {
		return fmt.Errorf("look for memory: %w", err)
	}
	for _, g := range groups {
		if g.free()-reserve < need {
			return fmt.Errorf("%w: %s is %s, of which %s are free and %s of these are left to others; raise it (MemoryMax= in the agent's systemd unit)",
				ErrNoMemory, g.limitFile, mebibytes(g.limit), mebibytes(max(0, g.free())), mebibytes(reserve))
		}
	}
	return nil
}
