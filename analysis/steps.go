package analysis

import (
	"sort"
	"time"
)

// Looks happen at multiples of the interval since the epoch, so that a look after
// a restart, or by another replica, falls on the same moments.

// floor returns the newest multiple of the interval that is not after t.
func floor(t time.Time, interval time.Duration) time.Time {
	since := t.UnixNano() % int64(interval)
	if since < 0 {
		since += int64(interval)
	}
	return time.Unix(0, t.UnixNano()-since).UTC()
}

// ceil returns the first multiple of the interval that is not before t.
func ceil(t time.Time, interval time.Duration) time.Time {
	at := floor(t, interval)
	if at.Before(t) {
		at = at.Add(interval)
	}
	return at
}

// maxLag is what the newest scrape is waited for at most: the longest that a
// scrape usually takes, since its samples have the time of its beginning.
const maxLag = 10 * time.Second

// lag is the time after a step's end at which it is asked for. What comes later
// isn't lost, but counted in a later step.
func lag(interval time.Duration) time.Duration { return min(interval/2, maxLag) }

// minFresh is the least age at which a sample is stale: the default interval
// between scrapes is a minute, and one of them may come late.
const minFresh = 90 * time.Second

// fresh is the age up to which a sample tells of its node: within it, missing
// scrapes are waited for, and a counter's increment is taken over the gap, as
// nothing that it counted is lost. After it, the gap stays one.
func fresh(interval time.Duration) time.Duration { return max(2*interval, minFresh) }

// until returns the number of points that are not after t.
func until(points []Point, t time.Time) int {
	return sort.Search(len(points), func(i int) bool { return points[i].At.After(t) })
}
