package main

import (
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"switchd/ledger"
	"switchd/rollout"
	"switchd/status"
)

type historyCmd struct {
	Service string `arg:"" help:"Service whose rollouts are shown."`
	Number  int    `arg:"" optional:"" help:"Show one rollout's timeline: 1 is the newest."`
	Facts   bool   `short:"v" help:"With what each decision was made on."`
	JSON    bool   `help:"Print JSON, for programs."`
}

func (c *historyCmd) Run(a *app) error {
	l, err := a.ledger()
	if err != nil {
		return err
	}
	if _, err := l.Service(a.ctx, c.Service); err != nil {
		return err
	}
	records, err := a.rollouts(l, c.Service)
	if err != nil {
		return err
	}
	if c.Number < 0 || c.Number > len(records) {
		return &usageError{fmt.Sprintf("%s has %s in its history, there is no number %d", c.Service, plural(len(records), "rollout"), c.Number)}
	}
	if c.Number > 0 {
		records = records[len(records)-c.Number : len(records)-c.Number+1]
	}
	if c.JSON {
		return a.json("history", records)
	}
	if c.Number > 0 {
		opts := terminal(a.stdout)
		opts.Facts = c.Facts
		return status.Timeline(a.stdout, records[0], time.Now(), opts)
	}
	return c.list(a, records)
}

// rollouts are a service's former ones and the one under way, the oldest first.
func (a *app) rollouts(l *ledger.Ledger, service string) ([]*rollout.Record, error) {
	records, err := l.History(a.ctx, service)
	if err != nil {
		return nil, err
	}
	current, err := l.Record(a.ctx, service)
	if err != nil {
		return nil, err
	}
	if current != nil && !current.Phase.Ended() {
		records = append(records, current)
	}
	return records, nil
}

func (c *historyCmd) list(a *app, records []*rollout.Record) error {
	if len(records) == 0 {
		a.printf("%s: no rollout yet\n", c.Service)
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NR\tBEGAN\tVERSION\tPOOL\tPHASE\tTOOK\tOUTCOME")
	for i, r := range slices.Backward(records) {
		took := "-"
		outcome := r.Outcome
		if r.Phase.Ended() {
			took = status.Span(r.Entered.Sub(r.At))
		} else if r.Wait != nil {
			outcome = "waits " + r.Wait.For
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", len(records)-i, r.At.Local().Format(time.DateTime), r.Version, r.Pool, r.Phase, took, status.Printable(outcome))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the history: %w", err)
	}
	a.printf("\n`switchd history %s NR` shows a rollout's timeline, with -v what each decision was made on.\n", c.Service)
	return nil
}
