// Command servers finds the servers that the tests and the demo run against,
// builds those that are missing, and prints where each one is.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"switchd/testenv/servers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "servers: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, progress io.Writer) error {
	finder := servers.Finder{Progress: progress}
	for _, name := range servers.Names() {
		found, err := finder.Find(ctx, name)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%-12s %-8s %s\n", found.Name, found.Version, found.Path); err != nil {
			return err
		}
	}
	return nil
}
