//go:build linux

// Command dnsbench measures switchd's name server beside NSD, Knot, BIND and
// CoreDNS with the same zone on the same cores, and how fast a flip shows.
//
//	go run ./testenv/dnsbench --rounds 3 --seconds 3
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
	Send  sendCmd  `cmd:"" hidden:"" help:"Is the sender, on a core of its own."`
	Flip  flipCmd  `cmd:"" hidden:"" help:"Is the sender that sees flips, on a core of its own."`
}

func main() {
	// What is started here gets SIGKILL when the thread that started it ends:
	// this one lives as long as the process.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var c commands
	parsed := kong.Parse(&c, kong.Name("dnsbench"),
		kong.Description("Measures name servers, each on one core with the client on another. It needs two idle cores and about 6 minutes."),
		kong.BindTo(ctx, (*context.Context)(nil)))
	err := parsed.Run()
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "dnsbench: %v\n", err)
		os.Exit(1)
	}
}
