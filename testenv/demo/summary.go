package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/load"
)

// summary prints what was observed and fails if that is not what was claimed.
func (d *demo) summary(ctx context.Context) error {
	d.heading("Summary")
	var errs []error
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "chapter\trequests\tfailures\tby version\tslowest")
	for _, c := range d.load.Snapshot() {
		var versions []string
		for _, v := range []string{"1.0.0", "2.0.0", "3.0.0", "4.0.0"} {
			if n := c.Versions[v]; n > 0 {
				versions = append(versions, fmt.Sprintf("%s %d", v, n))
			}
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", c.Name, c.Succeeded()+c.Failed(), c.Failed(), strings.Join(versions, ", "), c.Slowest.Round(time.Millisecond))
		errs = append(errs, judge(c))
	}
	_, _ = fmt.Fprintln(w)
	_, _ = fmt.Fprintln(w, "rollout\toutcome\tphases")
	for _, r := range d.records {
		_, _ = fmt.Fprintf(w, "%s → %s\t%s\t%s\n", r.Version, r.Pool, r.Phase, durations(r))
		if !r.ProvedAt.IsZero() {
			d.flips = append(d.flips, flip{"switch to " + r.Version + ", from the write", r.ProvedAt.Sub(r.SwitchedAt)})
		}
	}
	_, _ = fmt.Fprintln(w)
	_, _ = fmt.Fprintln(w, "flip\tuntil the last DNS replica answered so")
	for _, f := range d.flips {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", f.what, f.took.Round(time.Millisecond))
	}
	_, _ = fmt.Fprintln(w)
	s, err := d.ledger.Observe(ctx, "web")
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w, "node\tpool\tversion\thealth")
	for _, colour := range []string{spec.Blue, spec.Green} {
		for _, in := range s.Pools[colour] {
			health := "passing"
			if !in.Passing {
				health = in.Why
				errs = append(errs, fmt.Errorf("%s is not passing: %s", in.Node, in.Why))
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", in.Node, colour, in.Version, health)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the summary: %w", err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	d.say("all of this was observed, in %s", time.Since(d.began).Round(time.Second))
	return nil
}

// judge holds a chapter to what was claimed of it: only v3's own 500s may have
// reached a client.
func judge(c load.Chapter) error {
	if c.Name != "start" && c.Succeeded() == 0 {
		return fmt.Errorf("chapter %q: no request succeeded", c.Name)
	}
	bad := strings.HasPrefix(c.Name, "2")
	failed := c.Failed()
	if bad {
		failed -= c.Failures[load.Status].Count
		if all := c.Succeeded() + c.Failed(); c.Failures[load.Status].Count*100 > 2*all {
			return fmt.Errorf("chapter %q: v3 spoiled %d of %d requests, more than its small share", c.Name, c.Failures[load.Status].Count, all)
		}
		if c.Versions["3.0.0"] == 0 {
			return fmt.Errorf("chapter %q: v3 had no share of the requests", c.Name)
		}
	}
	if failed > 0 {
		return fmt.Errorf("requests failed: %s", c)
	}
	return nil
}

// durations lists how long each phase took.
func durations(r *rollout.Record) string {
	var parts []string
	phase, since := r.Timeline[0].Phase, r.Timeline[0].At
	for _, e := range append(r.Timeline[1:len(r.Timeline):len(r.Timeline)], rollout.Event{At: r.Entered, Phase: r.Phase}) {
		if e.Phase == phase {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %.1fs", phase, e.At.Sub(since).Seconds()))
		phase, since = e.Phase, e.At
	}
	return strings.Join(parts, ", ")
}
