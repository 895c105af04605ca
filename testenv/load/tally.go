package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is the step at which a request failed.
type Kind string

// The kinds of failure.
const (
	DNS     Kind = "dns"     // no server gave an address
	Connect Kind = "connect" // the address took no connection
	Read    Kind = "read"    // the answer didn't come, or not whole
	Status  Kind = "status"  // the answer's status was 500 or more
)

// maxSamples bounds the samples kept of each kind of failure in a chapter.
const maxSamples = 10

// Chapter is what was counted from one Mark to the next.
type Chapter struct {
	Name  string
	Start time.Time
	// Versions counts the successes by the version that answered; the empty
	// one told none.
	Versions map[string]int
	Failures map[Kind]Failures
	// Slowest is the longest time from when a request was due to its end.
	Slowest time.Duration
	// Unsent were due when the run ended, but held up by the ones before.
	Unsent int
}

// Failures counts one kind of failure.
type Failures struct {
	Count   int
	Samples []Sample // the first ones
}

// Sample is one failure.
type Sample struct {
	At      time.Time // when the request had failed
	Address string    // that was asked; empty for DNS
	Err     error
}

// Succeeded returns the number of successes.
func (c Chapter) Succeeded() int {
	n := 0
	for _, count := range c.Versions {
		n += count
	}
	return n
}

// Failed returns the number of failures.
func (c Chapter) Failed() int {
	n := 0
	for _, f := range c.Failures {
		n += f.Count
	}
	return n
}

// String prints the chapter for a person, a line for each sample of a failure.
func (c Chapter) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d succeeded", c.Name, c.Succeeded())
	for _, version := range slices.Sorted(maps.Keys(c.Versions)) {
		fmt.Fprintf(&b, ", %s %d", version, c.Versions[version])
	}
	fmt.Fprintf(&b, "; %d failed; %d unsent; slowest %s", c.Failed(), c.Unsent, c.Slowest.Round(time.Millisecond))
	for _, kind := range slices.Sorted(maps.Keys(c.Failures)) {
		failures := c.Failures[kind]
		fmt.Fprintf(&b, "\n  %s failed %d times", kind, failures.Count)
		for _, s := range failures.Samples {
			fmt.Fprintf(&b, "\n    %s %s %v", s.At.Format("15:04:05.000"), s.Address, s.Err)
		}
	}
	return b.String()
}

// tally counts by chapter. It is safe for concurrent use.
type tally struct {
	mu       sync.Mutex
	chapters []Chapter
}

func (t *tally) mark(name string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chapters = append(t.chapters, Chapter{
		Name: name, Start: now, Versions: map[string]int{}, Failures: map[Kind]Failures{},
	})
}

// begin returns the chapter of a request that is sent now.
func (t *tally) begin() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.chapters) - 1
}

// count notes what became of a request.
func (t *tally) count(chapter int, due, now time.Time, r result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.chapters[chapter]
	c.Slowest = max(c.Slowest, now.Sub(due))
	if r.failure == "" {
		c.Versions[r.version]++
		return
	}
	f := c.Failures[r.failure]
	f.Count++
	if len(f.Samples) < maxSamples {
		f.Samples = append(f.Samples, Sample{At: now, Address: r.address, Err: r.err})
	}
	c.Failures[r.failure] = f
}

// unsent notes requests that were due but not sent.
func (t *tally) unsent(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chapters[len(t.chapters)-1].Unsent += n
}

func (t *tally) snapshot() []Chapter {
	t.mu.Lock()
	defer t.mu.Unlock()
	chapters := slices.Clone(t.chapters)
	for i := range chapters {
		c := &chapters[i]
		c.Versions = maps.Clone(c.Versions)
		// The samples in a copy are never written to again: only appended.
		c.Failures = maps.Clone(c.Failures)
	}
	return chapters
}
