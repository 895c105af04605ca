package main

import (
	"strings"
	"testing"
	"time"
)

func TestMeter_SaysPercentRateAndTimeLeft(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	began := time.Unix(1e9, 0)
	var out strings.Builder
	m := &meter{w: &out, what: "r1"}
	for _, step := range []struct {
		after time.Duration
		done  int64
		want  string
	}{
		{0, 10 * mib, "10 % of 100.0 MiB"},
		{100 * time.Millisecond, 15 * mib, ""}, // Not yet again.
		{time.Second, 20 * mib, "20 % of 100.0 MiB, 10.0 MiB/s, 8s left"},
		{2 * time.Second, 5 * mib, "5 % of 100.0 MiB"}, // It begins anew.
		{4 * time.Second, 6 * mib, "6 % of 100.0 MiB, 512.0 KiB/s, 3m8s left"},
		{4 * time.Second, 100 * mib, "100 % of 100.0 MiB, 47.5 MiB/s, it is verified now"},
	} {
		out.Reset()
		m.at(began.Add(step.after), step.done, 100*mib)
		want := ""
		if step.want != "" {
			want = "\r\x1b[Kr1: " + step.want
		}
		if out.String() != want {
			t.Errorf("after %v with %d bytes: %q, want %q", step.after, step.done, out.String(), want)
		}
	}
	out.Reset()
	if m.end(); out.String() != "\r\x1b[K" {
		t.Errorf("at the end: %q", out.String())
	}
	// Where there is no terminal there is none.
	a := &app{stderr: &out}
	none := a.meter("r1")
	out.Reset()
	none.at(began, 1, 2)
	if none.end(); none != nil || out.String() != "" {
		t.Errorf("without a terminal: %q", out.String())
	}
}
