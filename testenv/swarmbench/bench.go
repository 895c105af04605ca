//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// benchCmd holds the bench's flags. The defaults take about half of two cores:
// what a node does grows with the nodes around it, as it tells each of every
// piece. And they keep everything within some 12 minutes.
type benchCmd struct {
	Nodes      []int      `default:"8,16,32" help:"How many nodes there are beside the seed; each number is a case."`
	Size       []byteSize `default:"64MiB,24MiB,10MiB" help:"The file's size in each case; one for all, if there is one."`
	Rate       []bitRate  `default:"50mbit,12mbit,3mbit" help:"The rate of each link, both ways, in each case; one for all, if there is one."`
	Runs       int        `default:"3" help:"How often everything is done; the medians are shown."`
	Contenders []string   `default:"switchd,aria2,libtorrent,http" enum:"switchd,aria2,libtorrent,http" help:"Who takes part: ${enum}."`
	All        bool       `help:"Lets everybody take part each time, not in the first case and in the first run only. It takes twice as long."`
	Python     string     `default:"/usr/bin/python3" help:"The Python that has libtorrent."`
	Dir        string     `type:"existingdir" help:"Where the files of a trial are put; the system's folder for temporary files by default."`
}

// scenario is one size of swarm.
type scenario struct {
	nodes int
	size  byteSize
	rate  bitRate
}

// maxNodes is how many nodes fit beside the seed and the tracker.
const maxNodes = 250

func (c *benchCmd) scenarios() ([]scenario, error) {
	if c.Runs < 1 {
		return nil, fmt.Errorf("--runs cannot be %d: at least one is needed", c.Runs)
	}
	var all []scenario
	for i, n := range c.Nodes {
		if n < 1 || n > maxNodes {
			return nil, fmt.Errorf("--nodes cannot be %d: it is between 1 and %d", n, maxNodes)
		}
		size, err := choose("--size", c.Size, i, len(c.Nodes))
		if err != nil {
			return nil, err
		}
		rate, err := choose("--rate", c.Rate, i, len(c.Nodes))
		if err != nil {
			return nil, err
		}
		all = append(all, scenario{nodes: n, size: size, rate: rate})
	}
	return all, nil
}

// choose returns the value for case i of n.
func choose[T any](flag string, values []T, i, n int) (T, error) {
	switch len(values) {
	case 1:
		return values[0], nil
	case n:
		return values[i], nil
	default:
		var none T
		return none, fmt.Errorf("%s has %d values for %d cases: give one for each of --nodes, or one for all", flag, len(values), n)
	}
}

// Run runs the bench and prints what comes out of it.
func (c *benchCmd) Run(ctx context.Context) (err error) {
	scenarios, err := c.scenarios()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(c.Dir, "swarmbench-")
	if err != nil {
		return fmt.Errorf("make a folder for the files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	contenders, err := c.contenders(ctx, dir)
	if err != nil {
		return err
	}
	r := report{scenarios: scenarios}
	for _, contender := range contenders {
		r.names = append(r.names, contender.name())
		fmt.Printf("%-10s  %s\n", contender.name(), contender.settings())
	}
	began := time.Now()
	err = c.rounds(ctx, dir, &r, contenders)
	fmt.Printf("\nIt took %s.\n\n", time.Since(began).Round(time.Second))
	r.print(os.Stdout)
	return errors.Join(err, r.failure())
}

// rounds fills the report until all is done or ctx ends.
func (c *benchCmd) rounds(ctx context.Context, dir string, r *report, contenders []contender) error {
	for run := range c.Runs {
		for i, s := range r.scenarios {
			if err := c.round(ctx, dir, r, run, i, s, contenders); err != nil {
				return fmt.Errorf("run %d with %d nodes: %w", run+1, s.nodes, err)
			}
		}
	}
	return nil
}

// round lets each contender do one scenario, one after the other and each
// round in another order.
func (c *benchCmd) round(ctx context.Context, dir string, r *report, run, index int, s scenario, contenders []contender) error {
	fmt.Printf("\nrun %d of %d: %d nodes, %s at %s\n", run+1, c.Runs, s.nodes, s.size, s.rate)
	file, err := newPayload(ctx, dir, s.size)
	if err != nil {
		return err
	}
	defer file.remove()
	link, err := measureLink(ctx, s)
	if err != nil {
		return err
	}
	floor := link.floor(s.size)
	fmt.Printf("  one plain transfer: %.2f Mbit/s of payload, so the floor is %.1f s\n", link.payload*8/1e6, floor.Seconds())
	for i := range contenders {
		contender := contenders[(i+run)%len(contenders)]
		if !c.takesPart(contender, run, index) {
			continue
		}
		t := trial{scenario: s, contender: contender, payload: file, floor: floor}
		outcome, err := t.run(ctx, dir)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			fmt.Printf("  !!! DISCARDED: %s: %v\n", contender.name(), err)
			r.discarded = append(r.discarded, fmt.Sprintf("%s at %d nodes in run %d", contender.name(), s.nodes, run+1))
			continue
		}
		result := result{name: contender.name(), nodes: s.nodes, run: run, outcome: outcome, ratio: outcome.last.Seconds() / floor.Seconds(), copies: link.copies(outcome.sent, s.size)}
		fmt.Printf("  %s\n", result)
		r.results = append(r.results, result)
	}
	return nil
}

// takesPart keeps the time within bounds. A star takes as many floors as there
// are nodes, for sure, so once is enough. The others are compared with in each
// run of the first case, and once in each other one.
func (c *benchCmd) takesPart(contender contender, run, index int) bool {
	switch contender.(type) {
	case switchd:
		return true
	case star:
		return run == 0 && (c.All || index == 0)
	default:
		return run == 0 || index == 0 || c.All
	}
}
