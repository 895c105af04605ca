// Command soak promotes and rolls back, again and again, on a whole cluster
// with a Consul of three servers, each host in a network namespace of its own,
// while programs are killed and stopped, leaders lost, networks cut in one
// direction or both, and clocks set wrong. Observers hold all of it to
// switchd's promises, and the history of the records is checked for
// linearizability. It takes root. What happens when is drawn from a seed, which
// is printed: with the same seed the same faults come in the same order.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type flags struct {
	Rounds int    `default:"200" help:"Promotes and rollbacks, each with a fault."`
	Seed   uint64 `help:"Of a run that is to be repeated; a new one if not set."`
	Keep   string `help:"Folder for logs and data, kept at the end; a temporary one if not set." type:"path"`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("soak"), kong.Description("Holds promotes and rollbacks in bad weather to switchd's promises."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, f)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags) error {
	if f.Seed == 0 {
		f.Seed = uint64(time.Now().UnixNano())
	}
	dir := f.Keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "soak-"); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	began := time.Now()
	s := newStorm(dir, f.Seed, func(format string, args ...any) {
		fmt.Printf("%7.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	})
	return s.soak(ctx, f.Rounds)
}
