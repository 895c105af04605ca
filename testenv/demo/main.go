// Command demo runs the main job on this machine: a service in two pools on a
// real Consul, released, stopped by its canary analysis, and rolled back,
// while clients count every failure.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type flags struct {
	Keep bool `help:"Leave everything running at the end, until Ctrl-C, and print how to use it."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("demo"), kong.Description("Runs switchd's main job on this machine."))
	// Ctrl-C ends what our output is piped into, too. That must not end us
	// before everything else has been.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, f)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}
