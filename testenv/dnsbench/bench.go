//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

type benchCmd struct {
	Rounds      int      `help:"Rounds; in each, every server is measured once." default:"3"`
	Seconds     float64  `help:"Length of a measurement." default:"2"`
	Servers     []string `help:"Servers to measure, of ${enum}." enum:"switchd,NSD,Knot,BIND,CoreDNS,CoreDNS+cache" default:"switchd,NSD,Knot,BIND,CoreDNS"`
	ServerCPU   int      `help:"Core of the server." default:"0"`
	ClientCPU   int      `help:"Core of the client." default:"1"`
	Names       int      `help:"Names in the zone." default:"10000"`
	Rate        int      `help:"Queries a second for the latencies." default:"10000"`
	Records     int      `help:"Records of the large zone, for start and memory; 0: leaves it out." default:"1000000"`
	Flips       int      `help:"Flips under load; 0: leaves them out." default:"100"`
	AllocsBench string   `help:"Benchmarks of package dnsflip whose allocations count; empty: leaves them out." default:"^BenchmarkServer_Answer"`
	Keep        string   `help:"Folder for the programs and zones, kept at the end; a temporary one if not set." type:"path"`
}

// Run implements a command.
func (c *benchCmd) Run(ctx context.Context) (err error) {
	b := &bench{benchCmd: c, dir: c.Keep, report: newReport(c.Servers)}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "dnsbench-"); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	} else if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{b.rounds, b.large, b.flips, b.allocs} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	b.report.print(os.Stdout)
	return nil
}

// bench is a run.
type bench struct {
	*benchCmd

	dir    string
	report *report
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) length() time.Duration { return time.Duration(b.Seconds * float64(time.Second)) }

// prepare builds switchd and writes what is asked and served.
func (b *bench) prepare(ctx context.Context) error {
	if slices.Contains(b.Servers, switchd) || b.Flips > 0 {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", b.dir+"/", "./cmd/switchd")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build switchd: %w\n%s", err, out)
		}
	}
	for name, hosts := range map[string]int{"zone": b.Names, "small.zone": 1000, "large.zone": b.Records} {
		if err := writeFile(b.path(name), func(f *os.File) error { return writeZone(f, hosts) }); err != nil {
			return err
		}
	}
	for _, set := range []string{chain, random} {
		if err := writeFile(b.path(set), func(f *os.File) error {
			var text bytes.Buffer
			for _, q := range questions(set, b.Names) {
				fmt.Fprintf(&text, "%s.%s. A\n", q.name, origin)
			}
			_, err := text.WriteTo(f)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, write func(*os.File) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("prepare %s: %w", path, err)
	}
	return nil
}

// rounds measures all servers in turn, again and again, so that a noise of
// the machine hits all of them.
func (b *bench) rounds(ctx context.Context) error {
	for round := range b.Rounds {
		for _, name := range b.Servers {
			b.report.say("round %d of %d: %s", round+1, b.Rounds, name)
			if err := b.with(ctx, name, "zone", []int{b.ServerCPU}, func(r *running) error { return b.one(ctx, name, r) }); err != nil {
				return err
			}
			both := []int{b.ServerCPU, b.ClientCPU}
			if round > 0 || b.ServerCPU == b.ClientCPU {
				continue
			}
			if err := b.with(ctx, name, "zone", both, func(r *running) error {
				return b.saturate(ctx, name, "both", r, both, b.dnsperf(r, chain))
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// with runs a server for a measurement.
func (b *bench) with(ctx context.Context, name, zone string, cpus []int, measure func(*running) error) (err error) {
	c, err := contenderOf(name, b.dir)
	if err != nil {
		return err
	}
	r, err := c.run(ctx, b.path(zone), cpus)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := measure(r); err != nil {
		tails := &bytes.Buffer{}
		return fmt.Errorf("measure %s: %w", name, errors.Join(err, r.group.LogTails(tails), errors.New(tails.String())))
	}
	return nil
}

// one does a server's measurements of a round.
func (b *bench) one(ctx context.Context, name string, r *running) error {
	client := []int{b.ClientCPU}
	for _, m := range []struct {
		what string
		ask  asker
	}{
		{random, b.closed(r, random, false)}, // every name at least once
		{chain, b.closed(r, chain, false)},
		{"cookie", b.closed(r, chain, true)},
		{"dnsperf." + chain, b.dnsperf(r, chain)},
		{"dnsperf." + random, b.dnsperf(r, random)},
	} {
		if err := b.saturate(ctx, name, m.what, r, client, m.ask); err != nil {
			return fmt.Errorf("%s: %w", m.what, err)
		}
	}
	paced, err := (&sendCmd{Server: r.addr, Set: chain, Names: b.Names, Cookie: true, Rate: b.Rate, For: b.length()}).send(ctx, client)
	if err != nil {
		return fmt.Errorf("latencies: %w", err)
	}
	b.report.add(name, "p50", microseconds(paced.P50))
	b.report.add(name, "p99", microseconds(paced.P99))
	b.report.add(name, "paced.lost", float64(paced.Lost))
	b.report.add(name, "late", microseconds(paced.Late))
	return nil
}

// asker asks a server for as much as it can answer.
type asker func(ctx context.Context, cpus []int) (perf, error)

// closed asks by the sender here, which checks every answer. It is faster than
// dnsperf, which reaches its own limit before the fastest servers do.
func (b *bench) closed(r *running, set string, cookie bool) asker {
	return func(ctx context.Context, cpus []int) (perf, error) {
		out, err := (&sendCmd{
			Server: r.addr, Set: set, Names: b.Names, Cookie: cookie, For: b.length(),
			// As many as fit a socket's buffer of the usual size.
			Window: 128, Sockets: 8,
		}).send(ctx, cpus)
		return perf{qps: out.QPS, done: out.Answered, lost: out.Lost}, err
	}
}

func (b *bench) dnsperf(r *running, set string) asker {
	return func(ctx context.Context, cpus []int) (perf, error) {
		p, err := dnsperf(ctx, r.addr, b.path(set), cpus, b.length())
		if err == nil && (p.other > 0 || (set == chain && p.nxdomain > 0)) {
			err = fmt.Errorf("answers of another rcode than wanted: %+v", p)
		}
		return p, err
	}
}

// saturate measures how much a server can answer.
func (b *bench) saturate(ctx context.Context, name, what string, r *running, client []int, ask asker) error {
	before, err := r.cpu()
	if err != nil {
		return err
	}
	p, err := ask(ctx, client)
	if err != nil {
		return err
	}
	after, err := r.cpu()
	if err != nil {
		return err
	}
	b.report.add(name, what+".qps", p.qps)
	b.report.add(name, what+".us", microseconds(after-before)/float64(max(1, p.done)))
	b.report.add(name, what+".lost", float64(p.lost))
	return nil
}

// large measures the start with many records, and the memory that each name
// more takes.
func (b *bench) large(ctx context.Context) error {
	if b.Records == 0 {
		return nil
	}
	for _, name := range b.Servers {
		b.report.say("%d records: %s", b.Records, name)
		var memory [2]uint64
		for i, zone := range []string{"small.zone", "large.zone"} {
			if err := b.with(ctx, name, zone, []int{b.ServerCPU, b.ClientCPU}, func(r *running) (err error) {
				memory[i], err = r.memory()
				if i > 0 {
					b.report.add(name, "start", r.took.Seconds())
				}
				return err
			}); err != nil {
				return err
			}
		}
		const small = 1000
		b.report.add(name, "memory", (float64(memory[1])-float64(memory[0]))/1024/float64(b.Records-small)*1000)
	}
	return nil
}

// allocs runs the benchmarks of the answers' path and takes the most
// allocations that one has.
func (b *bench) allocs(ctx context.Context) error {
	if b.AllocsBench == "" {
		return nil
	}
	b.report.say("allocations")
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "test", "-run=^$", "-bench="+b.AllocsBench, "-benchmem", "-benchtime=200ms", "./dnsflip").CombinedOutput()
	if err != nil {
		return fmt.Errorf("benchmark the answers: %w\n%s", err, out)
	}
	found := regexp.MustCompile(`(\d+) allocs/op`).FindAllSubmatch(out, -1)
	if found == nil {
		return fmt.Errorf("no benchmark of package dnsflip matches %q:\n%s", b.AllocsBench, out)
	}
	for _, match := range found {
		n, err := strconv.ParseFloat(string(match[1]), 64)
		if err != nil {
			return fmt.Errorf("benchmark the answers: %w", err)
		}
		b.report.add(switchd, "allocs", n)
	}
	return nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
