package fleet

import (
	"fmt"
	"sync"
	"time"
)

// Truth is what really serves, seen by nobody but the simulation. It holds the
// promises against it.
type Truth struct {
	Quorum, MaxDown int

	mu      sync.Mutex
	serving map[string]bool
	down    map[string]bool
	broken  []string // promises, in words
	stops   []time.Time
	starts  []time.Time
	least   int
	most    int
}

// NewTruth begins with nothing that serves.
func NewTruth(quorum, maxDown int) *Truth {
	return &Truth{Quorum: quorum, MaxDown: maxDown, serving: make(map[string]bool), down: make(map[string]bool), least: 1 << 30}
}

func (t *Truth) started(node string, healthy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.starts = append(t.starts, time.Now())
	if t.serving[node] = healthy; healthy {
		delete(t.down, node)
	}
}

func (t *Truth) stopped(node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stops = append(t.stops, time.Now())
	delete(t.serving, node)
	t.down[node] = true
	serving := 0
	for _, serves := range t.serving {
		if serves {
			serving++
		}
	}
	t.least, t.most = min(t.least, serving), max(t.most, len(t.down))
	if serving < t.Quorum {
		t.broken = append(t.broken, fmt.Sprintf("%s was stopped, which left %d nodes that serve, the quorum is %d", node, serving, t.Quorum))
	}
	if len(t.down) > t.MaxDown {
		t.broken = append(t.broken, fmt.Sprintf("%s was stopped as number %d, max_unavailable is %d", node, len(t.down), t.MaxDown))
	}
}

// Report is what the truth was.
type Report struct {
	Broken        []string // promises
	Least         int      // nodes that served
	MostDown      int
	Stops, Starts []time.Time
}

// Report tells what was seen so far.
func (t *Truth) Report() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Report{
		Broken: append([]string(nil), t.broken...), Least: t.least, MostDown: t.most,
		Stops: append([]time.Time(nil), t.stops...), Starts: append([]time.Time(nil), t.starts...),
	}
}
