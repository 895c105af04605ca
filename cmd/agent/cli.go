package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"switchd/consul"
)

// version is set by the build.
var version = "dev"

type cli struct {
	Consul  consul.Flags     `embed:"" group:"Consul:"`
	Env     string           `help:"Environment (SWITCHD_ENV)." env:"SWITCHD_ENV" required:"" placeholder:"NAME"`
	Data    string           `help:"Directory for the journal, releases and logs." default:"/var/lib/switchd-agent" type:"path"`
	Version kong.VersionFlag `help:"Print the version."`

	Run    runCmd    `cmd:"" help:"Run this node's services and roll them."`
	Status statusCmd `cmd:"" help:"Show what this node runs, from its journal."`
}

// app is what commands work with.
type app struct {
	ctx    context.Context //nolint:containedctx // kong's Run methods get it that way
	stdout io.Writer
	stderr io.Writer
	flags  *cli
}

// exited carries kong's wish to exit out of its parser.
type exited int

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	var flags cli
	parser, err := kong.New(&flags,
		kong.Name("agent"),
		kong.Description("switchd's agent: runs what its node should run."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.Vars{"version": version},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "agent: %v\n", err)
		return 1
	}
	defer func() {
		if code, ok := recover().(exited); ok {
			status = int(code)
		}
	}()
	command, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "agent: %v\n", err)
		return 2
	}
	err = command.Run(&app{ctx: ctx, stdout: stdout, stderr: stderr, flags: &flags})
	if err != nil && !errors.Is(err, context.Canceled) {
		_, _ = fmt.Fprintf(stderr, "agent: %v\n", err)
		return 1
	}
	return 0
}
