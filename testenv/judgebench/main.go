//go:build linux

// Command judgebench feeds the same simulated rollouts to switchd's judge, to
// Kayenta's, and to the rules of Argo Rollouts and Flagger. It counts false halts
// in worlds without a fault, and what faults cost before they are found, at an
// equal rate of false halts. It ends with lines "figure: NAME VALUE".
//
//	go run ./testenv/judgebench --runs 240
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type flags struct {
	Seed uint64  `help:"Seed of everything that is random." default:"1"`
	Runs int     `help:"Rollouts a cell; 0: 240, or 2,000 of the whole grid."`
	Full bool    `help:"Simulates the whole grid, in hours."`
	Rate float64 `help:"Rate of false halts at which judges are compared." default:"0.02"`
	CSV  string  `name:"csv" help:"File for all outcomes as CSV." type:"path"`
	JSON string  `name:"json" help:"File for all outcomes as JSON." type:"path"`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("judgebench"), kong.Description("Compares judges of canaries on simulated rollouts."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := f.run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "judgebench: %v\n", err)
		os.Exit(1)
	}
}

func (f flags) run(ctx context.Context, out io.Writer) error {
	if f.Runs == 0 {
		f.Runs = 240
		if f.Full {
			f.Runs = 2000
		}
	}
	if f.Runs < 1 || !(f.Rate > 0 && f.Rate < 1) {
		return fmt.Errorf("runs must be at least 1 and rate between 0 and 1, got %d and %v", f.Runs, f.Rate)
	}
	start := time.Now()
	a, err := analysis()
	if err != nil {
		return err
	}
	b := &bench{seed: f.Seed, runs: f.Runs, rate: f.Rate, plans: grid(f.Full), all: contenders(a, f.Full), analysis: a, tick: func(done, of int) {
		fmt.Fprintf(os.Stderr, "%6.0f s  %d of %d cells\n", time.Since(start).Seconds(), done, of)
	}}
	// Alone, before anything else has the processor.
	look, err := lookTime(a, 1000)
	if err != nil {
		return err
	}
	day, end, err := week(a)
	if err != nil {
		return fmt.Errorf("a week: %w", err)
	}
	res, err := b.run(ctx)
	if err != nil {
		return err
	}
	report{Writer: out, bench: b, results: res}.write()
	_, err = fmt.Fprintf(out, "\nA week of looks, one metric: %d KiB of memory and %d KiB of state after a day, %d and %d after the week.\n\n",
		day.heap>>10, day.state>>10, end.heap>>10, end.state>>10)
	if err != nil {
		return err
	}
	for _, figure := range res.figures(b.all, look) {
		if _, err := fmt.Fprintln(out, figure); err != nil {
			return err
		}
	}
	records := res.records(b.all)
	return errors.Join(save(f.CSV, records, writeCSV), save(f.JSON, records, writeJSON))
}

// figures are for comparisons between versions.
func (r *results) figures(all []contender, look time.Duration) []string {
	ourMost, kayentas := 0., 0.
	for i, c := range all {
		rate, _ := r.falseRates(i)
		switch c.(type) {
		case kayenta:
			kayentas = max(kayentas, rate)
		case ours:
			if i == 0 {
				ourMost = rate
			}
		}
	}
	return []string{
		fmt.Sprintf("figure: judge.false_halt_max %.4f", ourMost),
		fmt.Sprintf("figure: judge.false_halt_max_kayenta %.4f", kayentas),
		fmt.Sprintf("figure: judge.bad_served_vs_best %.3f", geometric(r.best(all, worst))),
		fmt.Sprintf("figure: judge.look_1000_ms %.1f", look.Seconds()*1000),
	}
}

func save(path string, records []record, write func(io.Writer, []record) error) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the outcomes: %w", err)
	}
	if err := errors.Join(write(f, records), f.Close()); err != nil {
		return fmt.Errorf("write the outcomes to %s: %w", path, err)
	}
	return nil
}
