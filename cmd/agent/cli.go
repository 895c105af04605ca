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
	Env     string           `help:"Environment; run needs it." env:"SWITCHD_ENV" placeholder:"NAME"`
	Data    string           `help:"Directory for the journal, releases and logs." default:"/var/lib/switchd-agent" type:"path"`
	Version kong.VersionFlag `help:"Print the version."`

	Run    runCmd    `cmd:"" help:"Run this node's services and roll them."`
	Status statusCmd `cmd:"" help:"Show what this node runs, from its journal."`
	Check  checkCmd  `cmd:"" help:"Tell what this machine lacks to run the agent and its services."`

	Shim shimCmd `cmd:"" hidden:"" help:"Supervise one process; the agent starts it."`
	Pin  pinCmd  `cmd:"" hidden:"" help:"Hold files in memory; the agent starts it."`
}

// app is what commands work with.
type app struct {
	ctx    context.Context //nolint:containedctx // kong's Run methods get it that way
	stdout io.Writer
	stderr io.Writer
	flags  *cli
}

func (a *app) printf(format string, args ...any) { _, _ = fmt.Fprintf(a.stdout, format, args...) }

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
		switch cause := recover().(type) {
		case nil:
		case exited:
			status = int(cause)
		default:
			panic(cause)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		name := "agent"
		if e, ok := errors.AsType[*kong.ParseError](err); ok && e.Context != nil && e.Context.Selected() != nil {
			name += " " + e.Context.Selected().Name
		}
		return usage(stderr, err, name)
	}
	err = command.Run(&app{ctx: ctx, stdout: stdout, stderr: stderr, flags: &flags})
	switch _, wrong := errors.AsType[*usageError](err); {
	case err == nil, errors.Is(err, context.Canceled):
		return 0
	case wrong:
		return usage(stderr, err, "agent "+command.Selected().Name)
	default:
		_, _ = fmt.Fprintf(stderr, "agent: %v\n", err)
		return 1
	}
}

// usageError is a command line that can't be carried out.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(stderr io.Writer, err error, command string) int {
	_, _ = fmt.Fprintf(stderr, "agent: %v\n`%s --help` shows what there is.\n", err, command)
	return 2
}
