package main

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"switchd/consul"
	"switchd/ledger"
	"switchd/status"
)

type statusCmd struct {
	Service string `arg:"" optional:"" help:"One service in detail; all of them in a line each if not given."`
	Watch   bool   `help:"Show it again every second, until interrupted."`
	JSON    bool   `help:"Print JSON, for programs."`

	acrossFlags `embed:""`
}

func (c *statusCmd) Run(a *app) error {
	switch {
	case !c.All && len(c.EnvTokenFile)+len(c.EnvAddr) > 0:
		return &usageError{"--env-token-file and --env-addr are for --all"}
	case c.All && c.Service != "":
		return &usageError{"--all shows all services; one in detail is `switchd --env ENV status " + c.Service + "`"}
	}
	l, err := a.ledger()
	if err != nil {
		return err
	}
	return c.watch(a, c.show(a, l))
}

// show is what shows it, any number of times.
func (c *statusCmd) show(a *app, l *ledger.Ledger) func() error {
	if c.All {
		e := c.environments(a, l)
		return func() error { return c.across(a, e) }
	}
	var names []string
	if c.Service != "" {
		names = append(names, c.Service)
	}
	return func() error {
		doc, err := status.Read(a.ctx, status.Ledger{Ledger: l}, names...)
		if err != nil {
			return err
		}
		if len(doc.Services) == 0 {
			// It may be empty, or unknown, or hidden from the token.
			if _, err := l.Environment(a.ctx); err != nil {
				return err
			}
		}
		return c.print(a, doc)
	}
}

// watch shows it once, or every second if that is asked for.
func (c *statusCmd) watch(a *app, show func() error) error {
	if !c.Watch {
		return show()
	}
	opts := terminal(a.stdout)
	for {
		if opts.Color {
			a.printf("\x1b[H\x1b[2J") // home, clear
		}
		if err := show(); err != nil {
			switch {
			case a.ctx.Err() != nil:
				return nil
			case !errors.Is(err, consul.ErrUnreachable):
				return err
			}
			a.notef("switchd: %s\n", a.explain(err))
		}
		select {
		case <-a.ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (c *statusCmd) print(a *app, doc status.Document) error {
	if c.JSON {
		return a.json("status", doc)
	}
	if c.Service != "" {
		return status.Detail(a.stdout, doc, time.Now(), terminal(a.stdout))
	}
	return status.Text(a.stdout, doc, time.Now(), terminal(a.stdout))
}

// terminal is how to print to w: in colours and to its width only where it is
// a terminal (https://no-color.org).
func terminal(w io.Writer) status.Options {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return status.Options{}
	}
	opts := status.Options{Color: os.Getenv("NO_COLOR") == ""}
	if width, _, err := term.GetSize(int(file.Fd())); err == nil {
		opts.Width = width
	}
	return opts
}
