package rolling

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/prometheus/procfs"

	"switchd/spec"
)

// drain waits, after the node was taken out of the catalog, until users have
// gone: until the answers that still name it are out of the caches, and then
// until its connections have ended, in all no longer than the spec allows.
func (u *unit) drain(ctx context.Context, s spec.Service) {
	timeout := s.Roll.DrainTimeout.Std()
	if timeout <= 0 {
		return
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	u.log.InfoContext(ctx, "draining", "until", began.Add(timeout).UTC().Format(time.TimeOnly))
	sleep(ctx, s.Switch.TTL.Std())
	for ctx.Err() == nil {
		open, err := connections(s.Port)
		if err != nil {
			u.log.WarnContext(ctx, "count the connections", "error", err)
			return
		}
		if open == 0 {
			return
		}
		sleep(ctx, 100*time.Millisecond)
	}
	if open, err := connections(s.Port); err == nil && open > 0 {
		u.log.WarnContext(ctx, "connections are still open, the drain timeout is over", "connections", open, "timeout", timeout)
	}
}

// connections counts the established TCP connections to a local port. Those of
// other network namespaces are not seen.
// Source: https://docs.kernel.org/networking/proc_net_tcp.html
func connections(port int) (int, error) {
	const established = 1
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, fmt.Errorf("read the connections: %w", err)
	}
	total := 0
	for _, read := range []func() (procfs.NetTCP, error){proc.NetTCP, proc.NetTCP6} {
		table, err := read()
		if errors.Is(err, fs.ErrNotExist) {
			continue // without IPv6
		}
		if err != nil {
			return 0, fmt.Errorf("read the connections: %w", err)
		}
		for _, line := range table {
			if line.St == established && int(line.LocalPort) == port {
				total++
			}
		}
	}
	return total, nil
}
