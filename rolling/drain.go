package rolling

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

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
	sleep(ctx, s.LedFor())
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
func connections(port int) (int, error) {
	total := 0
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // without IPv6, or not Linux
		}
		if err != nil {
			return 0, fmt.Errorf("read the connections: %w", err)
		}
		n, err := established(file, port)
		_ = file.Close() // only read
		if err != nil {
			return 0, fmt.Errorf("read the connections in %s: %w", path, err)
		}
		total += n
	}
	return total, nil
}

// established counts the connections to a local port in a table such as
// /proc/net/tcp. Source: https://docs.kernel.org/networking/proc_net_tcp.html
func established(table io.Reader, port int) (int, error) {
	const stateEstablished = "01"
	n := 0
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != stateEstablished {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		if local, err := strconv.ParseUint(hex, 16, 16); err == nil && int(local) == port {
			n++
		}
	}
	return n, lines.Err()
}
