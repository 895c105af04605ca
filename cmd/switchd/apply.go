package main

import (
	"fmt"
	"strings"

	"switchd/consul"
	"switchd/ledger"
	"switchd/spec"
)

type applyCmd struct {
	Dir    string `arg:"" help:"Directory of *.hcl files." type:"path"`
	DryRun bool   `help:"Show what would change and write nothing."`
	Prune  bool   `help:"Remove services that Consul holds and the directory doesn't."`
	Try    bool   `help:"Ask Prometheus all queries of the analyses once before anything is written." default:"true" negatable:""`
}

func (c *applyCmd) Help() string {
	return "The desired state is written in one transaction. It starts no rollout: what runs where changes with `promote` only.\n\n" +
		"A query that Prometheus refuses is a mistake, and nothing is written. If Prometheus can't be asked, apply says so and goes on."
}

func (c *applyCmd) Run(a *app) error {
	desired, src, err := a.compile(c.Dir, a.flags.Env)
	if err == nil && c.Try {
		err = a.report(src, tryQueries(a.ctx, src, desired), c.Dir)
	}
	if err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	flags := a.flags.Consul
	if env := desired.Environment.Consul; flags.HTTPAddr == "" {
		flags.HTTPAddr = env.Address
		if flags.Datacenter == "" {
			flags.Datacenter = env.Datacenter
		}
	}
	client, err := a.connect(flags)
	if err != nil {
		return err
	}
	l := &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: desired.Environment.Name}}
	old, err := l.Desired(a.ctx)
	if err != nil {
		return err
	}
	changes := spec.Diff(old, desired)
	for _, change := range changes {
		a.printf("%s\n", change)
	}
	a.printTightened(old, desired)
	if gone := missing(old, desired); len(gone) > 0 && !c.Prune {
		return &inputError{fmt.Sprintf("environment %s has services that %s doesn't name: %s; nothing was changed. Add --prune to remove them, which ends their DNS names", desired.Environment.Name, c.Dir, strings.Join(gone, ", "))}
	}
	if len(changes) == 0 {
		a.printf("%s: nothing changes\n", desired.Environment.Name)
	}
	if c.DryRun {
		if len(changes) > 0 {
			a.printf("%s: %s, not written (--dry-run)\n", desired.Environment.Name, plural(len(changes), "change"))
		}
		return nil
	}
	// Without a change, the places in the files may have moved nevertheless.
	if err := l.Apply(a.ctx, a.by(l), desired); err != nil {
		return err
	}
	if len(changes) > 0 {
		a.printf("%s: %s applied\n", desired.Environment.Name, plural(len(changes), "change"))
	}
	return nil
}

// missing are the services that would be removed.
func missing(old, desired *spec.Desired) []string {
	if old == nil {
		return nil
	}
	kept := make(map[string]bool)
	for _, s := range desired.Services {
		kept[s.Name] = true
	}
	var gone []string
	for _, s := range old.Services {
		if !kept[s.Name] {
			gone = append(gone, s.Name)
		}
	}
	return gone
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
