package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"switchd/ledger"
)

type releasesCmd struct {
	List  releasesListCmd  `cmd:"" default:"withargs" help:"List what is published, and where it is in use."`
	Prune releasesPruneCmd `cmd:"" help:"Remove releases that are not in use."`
}

type releasesListCmd struct {
	Service string `arg:"" optional:"" help:"Service whose releases are listed; all of them if not given."`
	JSON    bool   `help:"Print JSON, for programs."`
}

func (c *releasesListCmd) Help() string {
	return "The newest is the first. KEY is the minisign key that signed it."
}

// releaseDocument is a release in JSON. Its fields are part of the interface:
// the manual lists them.
type releaseDocument struct {
	Service  string       `json:"service"`
	Version  string       `json:"version"`
	Created  time.Time    `json:"created"`
	By       string       `json:"by"`
	Size     int64        `json:"size"`
	Unpacked int64        `json:"unpacked"`
	SHA256   string       `json:"sha256"`
	Key      string       `json:"key"`
	Uses     []ledger.Use `json:"uses"`
}

func (c *releasesListCmd) Run(a *app) error {
	l, err := a.ledger()
	if err != nil {
		return err
	}
	services := []string{c.Service}
	if c.Service == "" {
		if services, err = l.Publishers(a.ctx); err != nil {
			return err
		}
	}
	releases := []releaseDocument{}
	var uses []string
	for _, service := range services {
		published, err := l.Published(a.ctx, service)
		if err != nil {
			return err
		}
		if len(published) == 0 && c.Service != "" {
			if _, err := l.Service(a.ctx, c.Service); err != nil {
				return err
			}
		}
		for _, p := range published {
			releases = append(releases, releaseDocument{
				Service: p.Service, Version: p.Version, Created: p.Created, By: p.By, Size: p.Size,
				Unpacked: p.Unpacked, SHA256: p.SHA256, Key: p.SignedBy(), Uses: append([]ledger.Use{}, p.Uses...),
			})
			uses = append(uses, p.InUse())
		}
	}
	if c.JSON {
		return a.json("releases", releases)
	}
	return c.table(a, releases, uses)
}

func (c *releasesListCmd) table(a *app, releases []releaseDocument, uses []string) error {
	if len(releases) == 0 {
		a.printf("no release yet; `switchd publish SERVICE VERSION PATH` makes one\n")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SERVICE\tVERSION\tCREATED\tSIZE\tSHA-256\tKEY\tBY\tIN USE")
	for i, r := range releases {
		use := uses[i]
		if use == "" {
			use = "-"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.12s\t%s\t%s\t%s\n", r.Service, r.Version, r.Created.Local().Format(time.DateTime), bytes(r.Size), r.SHA256, r.Key, r.By, use)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the releases: %w", err)
	}
	return nil
}

type releasesPruneCmd struct {
	Service   string        `arg:"" help:"Service whose releases are removed."`
	Keep      int           `help:"Keep this many of the newest, in use or not." default:"5"`
	OlderThan time.Duration `help:"Keep what was published within this time." placeholder:"DURATION"`
	DryRun    bool          `help:"Show what would be removed, and remove nothing."`
}

func (c *releasesPruneCmd) Help() string {
	return "A release stays as long as it is live, is what a rollback leads to, is being rolled out, or runs or is staged on any node. Replicas delete the archives of the others within a day or two; nodes delete theirs by themselves."
}

func (c *releasesPruneCmd) Run(a *app) error {
	if c.Keep < 0 || c.OlderThan < 0 {
		return &usageError{"--keep and --older-than can't be negative"}
	}
	l, err := a.ledger()
	if err != nil {
		return err
	}
	retention := ledger.Retention{Newest: c.Keep, OlderThan: c.OlderThan}
	var verdicts []ledger.Verdict
	if c.DryRun {
		verdicts, err = l.JudgeReleases(a.ctx, c.Service, retention, time.Now())
	} else {
		verdicts, err = l.PruneReleases(a.ctx, c.Service, a.by(l), retention, time.Now())
	}
	return c.tell(a, verdicts, err)
}

// tell prints the verdicts, also those from before an error.
func (c *releasesPruneCmd) tell(a *app, verdicts []ledger.Verdict, err error) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	done := "removed"
	if c.DryRun {
		done = "would go"
	}
	removed, freed := 0, int64(0)
	for _, v := range verdicts {
		if !v.Removed {
			_, _ = fmt.Fprintf(w, "kept\t%s\t%s\n", v.Version, v.Why)
			continue
		}
		removed++
		freed += v.Freed
		room := bytes(v.Freed)
		if v.Freed == 0 {
			room = "nothing, another release has the same archive"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s; frees %s\n", done, v.Version, v.Why, room)
	}
	if flushErr := w.Flush(); flushErr != nil && err == nil {
		err = fmt.Errorf("print the verdicts: %w", flushErr)
	}
	if err != nil {
		return err
	}
	if removed == 0 {
		a.printf("%s: nothing to remove, %s kept\n", c.Service, plural(len(verdicts), "release"))
		return nil
	}
	a.printf("%s: %d of %s %s, %s on each replica\n", c.Service, removed, plural(len(verdicts), "release"), done, bytes(freed))
	return nil
}
