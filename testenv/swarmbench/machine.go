//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// cpuTime is what all cores have done since boot, in ticks.
type cpuTime struct{ busy, all uint64 }

// readCPU reads the first line of /proc/stat (proc_stat(5)).
func readCPU() (cpuTime, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuTime{}, fmt.Errorf("read the machine's load: %w", err)
	}
	return parseCPU(string(text))
}

func parseCPU(text string) (cpuTime, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return cpuTime{}, errors.New("read the machine's load: /proc/stat has no line for all cores")
	}
	var t cpuTime
	// user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return cpuTime{}, fmt.Errorf("read the machine's load: %w", err)
		}
		t.all += ticks
		if i != 3 && i != 4 {
			t.busy += ticks
		}
	}
	return t, nil
}

// busySince returns the share of the time since earlier in which the cores
// had something to do, from 0 to 1.
func (t cpuTime) busySince(earlier cpuTime) float64 {
	return float64(t.busy-earlier.busy) / float64(max(1, t.all-earlier.all))
}
