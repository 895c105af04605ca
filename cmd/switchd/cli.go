package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strings"

	"github.com/alecthomas/kong"

	"switchd/consul"
	"switchd/judge/sequential"
	"switchd/ledger"
)

// version is set by the build.
var version = "dev"

// cli is the whole command tree.
type cli struct {
	Consul  consul.Flags     `embed:"" group:"Consul:"`
	Env     string           `help:"Environment; the only one in Consul if not set." env:"SWITCHD_ENV" placeholder:"NAME"`
	Version kong.VersionFlag `help:"Print the version."`

	Validate validateCmd `cmd:"" help:"Check the inputs of a directory, offline."`
	Apply    applyCmd    `cmd:"" help:"Compile the inputs of a directory, show what changes, write the desired state."`
	Keygen   keygenCmd   `cmd:"" help:"Make a key pair to sign releases with."`
	DNS      dnsCmd      `cmd:"" name:"dns" help:"Make keys to sign a zone with, and tell the parent zone (DNSSEC)."`
	Publish  publishCmd  `cmd:"" help:"Pack, sign and store a release."`
	Releases releasesCmd `cmd:"" help:"List releases and where they are in use, or prune them."`
	Promote  promoteCmd  `cmd:"" help:"Roll a release out and follow it to its end."`
	Rollback rollbackCmd `cmd:"" help:"Lead users back to the former pool, in one write."`
	Halt     haltCmd     `cmd:"" help:"Stop a rollout until it is resumed."`
	Resume   resumeCmd   `cmd:"" help:"Go on with a halted rollout."`
	Approve  approveCmd  `cmd:"" help:"Give a consent that a rollout waits for."`
	Status   statusCmd   `cmd:"" help:"Show what is live, what runs where, and what is waited for."`
	History  historyCmd  `cmd:"" help:"Show a service's former rollouts."`
	Explain  explainCmd  `cmd:"" help:"Tell why a rollout is where it is, what it waits for, and who can end the wait."`
	Judge    judgeCmd    `cmd:"" help:"Judge a canary's metrics offline: from a file, a past Prometheus or a rollout."`
	Serve    serveCmd    `cmd:"" help:"Drive rollouts, answer DNS, store artifacts, show a status page."`
	Notify   notifyCmd   `cmd:"" help:"Try whether somebody can be told of rollouts."`
	ACL      aclCmd      `cmd:"" name:"acl" help:"Print the least Consul policy of a role, offline."`
}

// app is what commands work with.
type app struct {
	ctx    context.Context //nolint:containedctx // kong's Run methods get it that way
	stdout io.Writer
	stderr io.Writer
	flags  *cli
	// consul is what the command has talked to last; nil: nothing yet.
	consul *consul.Client
}

// exited carries kong's wish to exit out of its parser.
type exited int

func newParser(flags *cli, stdout, stderr io.Writer) (*kong.Kong, error) {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "switchd" // only a default
	}
	return kong.New(flags,
		kong.Name("switchd"),
		kong.Description("Releases services on plain machines, blue and green, without an outage."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.Vars{"version": version, "hostname": hostname, "primitives": strings.Join(sequential.Primitives(), ", ")},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	var flags cli
	parser, err := newParser(&flags, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "switchd: %v\n", err)
		return statusError
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
		fmt.Fprintf(stderr, "switchd: %v\n`%s --help` shows what there is.\n", err, commandOf(err))
		return statusUsage
	}
	a := &app{ctx: ctx, stdout: stdout, stderr: stderr, flags: &flags}
	err = command.Run(a)
	if err == nil {
		return statusOK
	}
	fmt.Fprintf(stderr, "switchd: %s\n", a.explain(err))
	return statusOf(err)
}

// commandOf is the command that a wrong command line was meant for, as far as
// it was understood.
func commandOf(err error) string {
	if e, ok := errors.AsType[*kong.ParseError](err); ok && e.Context != nil && e.Context.Selected() != nil {
		return e.Context.Selected().FullPath()
	}
	return "switchd"
}

// printf writes to standard output; that it can't be written to is found out
// by whoever reads it.
func (a *app) printf(format string, args ...any) { _, _ = fmt.Fprintf(a.stdout, format, args...) }

// json prints a document, which the error calls by its name.
func (a *app) json(name string, document any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("print the %s: %w", name, err)
	}
	return nil
}

func (a *app) notef(format string, args ...any) { _, _ = fmt.Fprintf(a.stderr, format, args...) }

// connect prepares to talk to Consul.
func (a *app) connect(flags consul.Flags) (*consul.Client, error) {
	client, err := consul.NewClient(flags)
	if err != nil {
		return nil, err
	}
	a.consul = client
	return client, nil
}

// ledger connects to the environment that is meant.
func (a *app) ledger() (*ledger.Ledger, error) {
	client, err := a.connect(a.flags.Consul)
	if err != nil {
		return nil, err
	}
	env := a.flags.Env
	if env == "" {
		names, err := ledger.Environments(a.ctx, client)
		if err != nil {
			return nil, err
		}
		switch len(names) {
		case 1:
			env = names[0]
		case 0:
			return nil, fmt.Errorf("%w: Consul holds none that the token may read", ledger.ErrUnknownEnvironment)
		default:
			return nil, &usageError{fmt.Sprintf("Consul holds several environments (%s); name one with --env or SWITCHD_ENV", strings.Join(names, ", "))}
		}
	}
	return &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: env}}, nil
}

// by names whoever runs the command: the owner of the Consul token where ACLs
// tell, and the account.
func (a *app) by(l *ledger.Ledger) string { return signature(l.Consul.Identity(a.ctx)) }

// signature is the account, with the owner of the token if one is known.
func signature(owner string) string {
	if owner == "" {
		return account()
	}
	return owner + " (" + account() + ")"
}

// account is that of the process, such as alice@desk.
func account() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

func (a *app) log(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
}

// usageError is a command line that can't be carried out.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }
