package sweep

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// watchJournal makes each write of the killed agent's journal a fault point:
// before is when the file that will take its place is there, after is when it
// has done so. The kernel tells of both a moment later, so that the agent may
// have come a little further: no matter, it is to be killable everywhere.
func (w *world) watchJournal() error {
	dir := filepath.Join(w.dir, greenNode)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("watch the journal: %w", err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the journal: %w", err)
	}
	w.background(func() {
		journal := filepath.Join(dir, "journal.json")
		effect := ""
		for event := range watcher.Events {
			switch {
			case !event.Has(fsnotify.Create):
			case event.Name == journal+".tmp":
				effect = w.passed(agent, "journal")
				w.strike(Point{Who: agent, Effect: effect})
			case event.Name == journal && effect != "":
				w.strike(Point{Who: agent, Effect: effect, After: true})
			}
		}
	}, watcher.Close)
	if err := watcher.Add(dir); err != nil {
		return fmt.Errorf("watch the journal: %w", err)
	}
	return nil
}
