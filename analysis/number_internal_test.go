package analysis

import (
	"testing"
	"time"
)

func TestSpan_IsReadable(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		6 * time.Second:         "6 s",
		1234 * time.Millisecond: "1.2 s",
		0:                       "0 s",
		2*time.Minute + 30*time.Second + time.Millisecond: "2m30s",
		15 * time.Minute:               "15m",
		2 * time.Hour:                  "2h",
		2*time.Hour + 10*time.Second:   "2h0m10s",
		70 * time.Minute:               "1h10m",
		10*time.Minute + 1*time.Second: "10m1s",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestSteps_AreMultiplesOfTheInterval(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 5, 12, 0, 7, 5, time.UTC)
	for _, interval := range []time.Duration{200 * time.Millisecond, 7 * time.Second, 15 * time.Second, time.Minute, 7 * time.Minute} {
		before, after := floor(at, interval), ceil(at, interval)
		if before.UnixNano()%int64(interval) != 0 || before.After(at) || after.Before(at) || after.Sub(before) != interval {
			t.Errorf("%s is between %s and %s", at, before, after)
		}
		if !floor(before, interval).Equal(before) || !ceil(before, interval).Equal(before) {
			t.Errorf("%s is not its own multiple of %s", before, interval)
		}
	}
}

func TestPromDuration_IsWhatPrometheusReads(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		400 * time.Millisecond: "400ms", 15 * time.Second: "15s", 90 * time.Second: "90s", 2 * time.Minute: "2m", 3 * time.Hour: "3h",
	} {
		if got := promDuration(d); got != want {
			t.Errorf("%s is written %q, want %q", d, got, want)
		}
	}
}
