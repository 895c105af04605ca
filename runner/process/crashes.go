package process

import (
	"fmt"
	"time"
)

const (
	firstPause = time.Second      // before the first restart; it doubles
	longPause  = 30 * time.Second // and becomes no longer than this
	steady     = time.Minute      // a run of this length makes up for all crashes before it
	loopLength = 3                // so many ends in a row are a crash loop
)

// crashes are the ends of a service, one after the other, with no steady run
// between them.
type crashes struct {
	count int
	since time.Time // when the first of these runs was started
	last  time.Time
	how   string
}

// ended notes the end of a run and returns how long to wait before the next.
func (c *crashes) ended(started, at time.Time, how string) time.Duration {
	if c.count == 0 || at.Sub(started) >= steady {
		c.count, c.since = 0, started
	}
	c.count++
	c.last, c.how = at, how
	pause := firstPause
	for n := 1; n < c.count && pause < longPause; n++ {
		pause *= 2
	}
	return min(pause, longPause)
}

// why says how it ended last, for people; started is when the present run was
// started, zero if there is none.
func (c *crashes) why(started, now time.Time) string {
	if c.count == 0 {
		return ""
	}
	recovered := !started.IsZero() && now.Sub(started) >= steady
	if c.count >= loopLength && !recovered {
		return fmt.Sprintf("crash loop: ended %d times in %v, last: %s", c.count, c.last.Sub(c.since).Round(time.Second), c.how)
	}
	return fmt.Sprintf("ended %v ago: %s", now.Sub(c.last).Round(time.Second), c.how)
}
