package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// lookTime returns the CPU time of one look of our judge at so many metrics of
// counts, at the end of a rollout: taking it in, and the verdict. It is the mean
// of the last ten looks.
func lookTime(a spec.Analysis, metrics int) (time.Duration, error) {
	counted := a.Metrics[0]
	a.Metrics = nil
	for i := range metrics {
		m := counted
		m.Name = fmt.Sprintf("errors-%04d", i)
		a.Metrics = append(a.Metrics, m)
	}
	panel, err := judge.NewPanel(a, nil)
	if err != nil {
		return 0, fmt.Errorf("a panel of %d metrics: %w", metrics, err)
	}
	const last = 10
	var spent time.Duration
	for i := range minutes {
		samples := map[string]judge.Sample{}
		for _, m := range a.Metrics {
			samples[m.Name] = steady(i)
		}
		before := cpuTime()
		panel.Observe(samples)
		panel.Verdict()
		if i >= minutes-last {
			spent += cpuTime() - before
		}
	}
	return spent / last, nil
}

// steady is a sample in which nothing is wrong.
func steady(minute int) judge.Sample {
	p := make(pool, poolNodes)
	for i := range p {
		p[i] = counts{total: 3000, errors: float64(5 + (i+minute)%3)}
	}
	reading := readings(p)["errors"]
	return judge.Sample{At: begin.Add(time.Duration(minute+1) * time.Minute), Experiment: reading, Control: reading}
}

// cpuTime is that of this process so far, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails on a bad address only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// size is what our judge holds of a rollout.
type size struct {
	heap  int64 // bytes in memory
	state int   // bytes of its JSON state
}

// week returns the sizes after a day and after a week of looks, each minute.
func week(a spec.Analysis) (day, end size, err error) {
	before := heap()
	panel, err := judge.NewPanel(a, nil)
	if err != nil {
		return day, end, err
	}
	measure := func() (size, error) {
		state, err := json.Marshal(panel)
		return size{heap: heap() - before, state: len(state)}, err
	}
	for i := range 7 * 24 * 60 {
		panel.Observe(map[string]judge.Sample{a.Metrics[0].Name: steady(i)})
		panel.Verdict()
		if i == 24*60 {
			if day, err = measure(); err != nil {
				return day, end, err
			}
		}
	}
	end, err = measure()
	return day, end, err
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
