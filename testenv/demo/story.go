package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"switchd/dnsproof"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/cluster"
	"switchd/testenv/load"
)

// demo tells the story and notes what it has observed.
type demo struct {
	out     io.Writer
	began   time.Time
	cluster *cluster.Cluster
	ledger  *ledger.Ledger
	load    *load.Generator
	// stopLoad ends the clients' requests and waits for those under way.
	stopLoad func()
	keeps    bool // the load goes on after the story
	flips    []flip
	records  []*rollout.Record
}

// flip is one measured change of the live pool.
type flip struct {
	what string
	took time.Duration // from the start of the write to the last replica
}

func (d *demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, "%6.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) heading(text string) { _, _ = fmt.Fprintf(d.out, "\n── %s\n", text) }

// tell runs the three chapters; an error is a claim that was not observed.
func (d *demo) tell(ctx context.Context) error {
	service := cluster.DefaultService()
	if err := d.cluster.Apply(ctx, service); err != nil {
		return err
	}
	d.heading("0. v1 becomes the first release: nothing is live yet, so it goes to blue")
	if err := d.release(ctx, cluster.App{Version: "1.0.0"}, 0); err != nil {
		return err
	}
	d.startLoad(ctx)
	d.say("%d clients send %d requests/s to http://web.%s:%d, resolved through switchd's DNS for each request", workers, rate, cluster.Zone, d.cluster.AppPort())

	for _, chapter := range []func(context.Context) error{d.good, d.bad, d.rollback} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	if !d.keeps {
		d.stopLoad()
	}
	return d.summary(ctx)
}

// startLoad has the clients send requests until stopLoad.
func (d *demo) startLoad(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var loading sync.WaitGroup
	loading.Go(func() { d.load.Run(ctx) })
	d.stopLoad = func() {
		cancel()
		loading.Wait()
	}
}

// release publishes a version and promotes it, and wants the exit status.
func (d *demo) release(ctx context.Context, app cluster.App, status int) error {
	if err := d.cluster.Publish(ctx, app); err != nil {
		return err
	}
	d.say("$ switchd promote web %s", app.Version)
	err := d.promote(ctx, app.Version)
	if got := cluster.Status(err); got != status {
		return fmt.Errorf("promote of %s ended with status %d, expected %d: %w", app.Version, got, status, err)
	}
	record, err := d.ledger.Record(ctx, "web")
	if err != nil {
		return err
	}
	d.records = append(d.records, record)
	return nil
}

// promote follows `switchd promote` and shows what it prints.
func (d *demo) promote(ctx context.Context, version string) error {
	command := d.cluster.Command(ctx, "promote", "web", version)
	var stderr strings.Builder
	command.Stderr = &stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		d.say("    %s", lines.Text())
	}
	if err := command.Wait(); err != nil {
		return &cluster.CommandError{Args: []string{"promote", "web", version}, Status: command.ProcessState.ExitCode(), Stderr: strings.TrimSpace(stderr.String()), Err: err}
	}
	return nil
}

func (d *demo) good(ctx context.Context) error {
	d.heading("1. v2 is good: green rolls node by node, smoke, warm-up, analysis, flip, drain, bake")
	d.load.Mark("1 good release")
	if err := d.release(ctx, cluster.App{Version: "2.0.0", ColdStart: "2s"}, 0); err != nil {
		return err
	}
	return d.everybodyOn(ctx, spec.Green, "2.0.0")
}

func (d *demo) bad(ctx context.Context) error {
	d.heading("2. v3 answers 5 % of requests with 500 and passes its smoke test: the Prometheus gate stops it")
	d.load.Mark("2 bad release")
	if err := d.release(ctx, cluster.App{Version: "3.0.0", ErrorRate: 0.05}, 10); err != nil {
		return err
	}
	record := d.records[len(d.records)-1]
	d.say("stopped, in one sentence: %s", record.Outcome)
	if !strings.HasPrefix(record.Outcome, "analysis failed") {
		return fmt.Errorf("v3 was stopped by something else than the analysis: %s", record.Outcome)
	}
	return d.everybodyOn(ctx, spec.Green, "2.0.0")
}

func (d *demo) rollback(ctx context.Context) error {
	d.heading("3. v4 is live and bakes; then somebody wants v2 back: one write")
	d.load.Mark("3 rollback")
	if err := d.cluster.Publish(ctx, cluster.App{Version: "4.0.0"}); err != nil {
		return err
	}
	d.say("$ switchd promote web 4.0.0")
	following := make(chan error, 1)
	go func() { following <- d.promote(ctx, "4.0.0") }()
	if err := d.awaitPhase(ctx, "4.0.0", rollout.Baking, following); err != nil {
		return err
	}
	d.say("$ switchd rollback web")
	start := time.Now()
	out, err := d.cluster.Switchd(ctx, "rollback", "web", "--why", "the demo wants v2 back")
	if err != nil {
		return err
	}
	d.say("    %s", strings.TrimSpace(out))
	if err := d.awaitReplicas(ctx, spec.Green); err != nil {
		return err
	}
	live, err := d.ledger.Live(ctx, "web")
	if err != nil {
		return err
	}
	fromCommand, fromWrite := time.Since(start), time.Since(live.At)
	d.flips = append(d.flips, flip{"rollback of v4, from the command's start", fromCommand})
	d.say("all %d DNS replicas answer with green again, %s after the command was typed (%s after the write was made)",
		len(d.cluster.Replicas), fromCommand.Round(time.Millisecond), fromWrite.Round(time.Millisecond))
	if err := <-following; cluster.Status(err) != 12 {
		return fmt.Errorf("promote of 4.0.0 ended with status %d, expected 12: %w", cluster.Status(err), err)
	}
	record, err := d.ledger.Record(ctx, "web")
	if err != nil {
		return err
	}
	d.records = append(d.records, record)
	return d.everybodyOn(ctx, spec.Green, "2.0.0")
}

// awaitPhase waits until a version's rollout is in a phase.
func (d *demo) awaitPhase(ctx context.Context, version string, phase rollout.Phase, ended <-chan error) error {
	for {
		record, err := d.ledger.Record(ctx, "web")
		if err != nil {
			return err
		}
		if record != nil && record.Version == version && record.Phase == phase {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the rollout of %s ended before its phase %s: %w", version, phase, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// awaitReplicas waits until every replica answers with a pool.
func (d *demo) awaitReplicas(ctx context.Context, pool string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, server := range d.cluster.DNS() {
		for {
			got, err := dnsproof.Ask(ctx, server, "web."+cluster.Zone)
			if err == nil && got.Target == "web-"+pool+"."+cluster.Zone {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("replica %s does not answer with %s: got %s, %w", server, pool, got, err)
			}
		}
	}
	return nil
}

// everybodyOn checks that all replicas lead to a pool, and that once caches
// have run out all requests are answered by a version.
func (d *demo) everybodyOn(ctx context.Context, pool, version string) error {
	if err := d.awaitReplicas(ctx, pool); err != nil {
		return err
	}
	const settle, look = 2500 * time.Millisecond, 1500 * time.Millisecond
	if err := pause(ctx, settle); err != nil {
		return err
	}
	before := d.versions()
	if err := pause(ctx, look); err != nil {
		return err
	}
	after := d.versions()
	seen := 0
	for v, n := range after {
		if n -= before[v]; n > 0 && v != version {
			return fmt.Errorf("%d requests were answered by %s, expected %s alone", n, v, version)
		} else if v == version {
			seen = n
		}
	}
	if seen == 0 {
		return errors.New("no request was answered by " + version)
	}
	d.say("seen by the clients: all of the last %d requests were answered by %s (%s)", seen, version, pool)
	return nil
}

func (d *demo) versions() map[string]int {
	sum := make(map[string]int)
	for _, chapter := range d.load.Snapshot() {
		for v, n := range chapter.Versions {
			sum[v] += n
		}
	}
	return sum
}

func pause(ctx context.Context, t time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(t):
		return nil
	}
}
