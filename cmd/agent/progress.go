package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"switchd/rollout"
)

// fetching is one release on its way to this node, as `agent status` shows it.
type fetching struct {
	Service string `json:"service"`
	Version string `json:"version"`
	rollout.Progress
}

const progressFile = "progress.json"

// keepProgress has a file tell what is on its way, for `agent status`, which
// reads and asks nobody.
func (r *releases) keepProgress(ctx context.Context, data string) {
	if r.swarm == nil {
		return
	}
	path := filepath.Join(data, progressFile)
	defer func() { _ = os.Remove(path) }() // nothing is on its way any more
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	written := true // by a former agent, perhaps
	for {
		var now []fetching
		for _, p := range r.swarm.Progress() {
			if !p.Seeding {
				now = append(now, fetching{p.Service, p.Version, rollout.Progress{Done: p.Done, Total: p.Total, Rate: p.Rate, Peers: p.Peers}})
			}
		}
		if written || len(now) > 0 {
			if err := writeProgress(path, now); err != nil {
				r.log.WarnContext(ctx, "progress", "error", err)
			}
		}
		written = len(now) > 0
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func writeProgress(path string, now []fetching) error {
	if len(now) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the progress: %w", err)
		}
		return nil
	}
	text, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("write the progress: %w", err)
	}
	temp := path + ".tmp"
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return fmt.Errorf("write the progress: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write the progress: %w", err)
	}
	return nil
}

// readProgress reads what is on its way; nothing where no agent says so.
func readProgress(data string) ([]fetching, error) {
	text, err := os.ReadFile(filepath.Join(data, progressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the progress: %w", err)
	}
	var now []fetching
	if err := json.Unmarshal(text, &now); err != nil {
		return nil, fmt.Errorf("read the progress: %w", err)
	}
	return now, nil
}
