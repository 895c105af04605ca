package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"text/tabwriter"

	"switchd/rolling"
)

type statusCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *statusCmd) Help() string {
	return "Reads the journal in the data directory; neither the agent nor Consul has to run."
}

func (c *statusCmd) Run(a *app) error {
	journal, err := rolling.ReadJournal(a.flags.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no agent has run with the data directory %s, there is no journal in it; name another one with --data", a.flags.Data)
	case err != nil:
		return err
	}
	states := rolling.States(a.ctx, journal, runtimes(slog.New(slog.DiscardHandler)))
	fetching, err := readProgress(a.flags.Data)
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(map[string]any{"units": states, "fetching": fetching})
	}
	for _, f := range fetching {
		a.printf("fetching %s %s: %s\n", f.Service, f.Version, f.Progress)
	}
	if len(states) == 0 {
		a.printf("this node runs nothing yet\n")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "UNIT\tVERSION\tPROCESS\tNEXT\tNOTE")
	for _, id := range slices.Sorted(maps.Keys(states)) {
		s := states[id]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", id, dash(s.Version), dash(s.Process), dash(s.Next), dash(s.Note))
	}
	return w.Flush()
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
