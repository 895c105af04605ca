//go:build linux

// Command swarmbench measures how fast one file gets from one seed to many
// nodes by switchd's swarm, by aria2, by libtorrent and by HTTP from the seed,
// each on the same network of shaped links in network namespaces.
//
//	go run ./testenv/swarmbench --nodes 8 --size 512MiB --rate 100mbit --runs 3
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Bench benchCmd `cmd:"" default:"withargs" help:"Runs the bench (the default)."`
	Serve serveCmd `cmd:"" hidden:"" help:"Is the seed of the star."`
	Get   getCmd   `cmd:"" hidden:"" help:"Is a node of the star."`
}

func main() {
	// What is started here gets SIGKILL when the thread that started it ends:
	// this one lives as long as the process.
	runtime.LockOSThread()
	// Ctrl-C ends what our output is piped into, too. That must not end us
	// before everything else has been.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var c commands
	parsed := kong.Parse(&c, kong.Name("swarmbench"),
		kong.Description("Measures the distribution of one file to many nodes over shaped links. "+
			"The defaults suit two idle cores and take about 12 minutes; where CPU busy is above 80 %, take lower rates."),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err := parsed.Run(); err != nil {
		stop()
		fmt.Fprintf(os.Stderr, "swarmbench: %v\n", err)
		os.Exit(1)
	}
}
