package main

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFaults_FailExactlyTheShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := &faults{rate: rapid.Float64Range(0, 1).Draw(t, "rate")}
		failed := 0
		for n := 1; n <= rapid.IntRange(1, 500).Draw(t, "requests"); n++ {
			if f.fails() {
				failed++
			}
			if want := int(math.Floor(float64(n) * f.rate)); failed != want {
				t.Fatalf("%d of the first %d requests failed, want %d", failed, n, want)
			}
		}
	})
}

func TestFaults_ColdStartGetsFasterAndEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.Now()
		f := &faults{
			latency: time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "latency")),
			cold:    time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "cold")),
			start:   start,
		}
		last := f.delay(start)
		if f.cold > 0 && last != f.latency+coldLatency {
			t.Fatalf("the first answer takes %s, want %s", last, f.latency+coldLatency)
		}
		for now := start; now.Before(start.Add(f.cold)); now = now.Add(f.cold/7 + 1) {
			if d := f.delay(now); d > last || d < f.latency {
				t.Fatalf("after %s an answer takes %s, before that %s", now.Sub(start), d, last)
			} else {
				last = d
			}
		}
		if d := f.delay(start.Add(f.cold)); d != f.latency {
			t.Fatalf("warm answers take %s, want %s", d, f.latency)
		}
	})
}
