package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
)

// record is an outcome as others read it.
type record struct {
	World       string   `json:"world"`
	Traffic     float64  `json:"traffic_per_minute"`
	Weight      float64  `json:"weight"`
	Fault       string   `json:"fault"`
	Judge       string   `json:"judge"`
	Calibration string   `json:"calibration"`
	Runs        int      `json:"runs"`
	Early       int      `json:"false_halts"`
	Low         float64  `json:"false_rate_lower"`
	High        float64  `json:"false_rate_upper"`
	Missed      int      `json:"missed"`
	Passed      int      `json:"passed"`
	Undecided   int      `json:"undecided"`
	Median      *float64 `json:"delay_median_minutes"` // null: never
	P90         *float64 `json:"delay_p90_minutes"`
	Bad         float64  `json:"bad_served"`
}

// records returns one for each cell, judge and calibration.
func (r *results) records(all []contender) (records []record) {
	cells := append([]*cell{}, r.clean...)
	for _, faulty := range r.faulty {
		cells = append(cells, faulty...)
	}
	for _, c := range cells {
		for i, judge := range all {
			for how := range calibrations {
				o := c.outcome(i, how)
				low, high := o.early.interval()
				records = append(records, record{
					World: c.name, Traffic: c.traffic, Weight: c.weight, Fault: c.fault.String(), Judge: judge.name(),
					Calibration: how.String(), Runs: o.early.runs, Early: o.early.hits, Low: low, High: high, Missed: o.missed.hits,
					Passed: o.passed.hits, Undecided: o.undecided.hits, Median: finite(o.median), P90: finite(o.p90), Bad: o.bad,
				})
			}
		}
	}
	return records
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func writeJSON(w io.Writer, records []record) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", " ")
	return encoder.Encode(records)
}

func writeCSV(w io.Writer, records []record) error {
	out := csv.NewWriter(w)
	rows := [][]string{{
		"world", "traffic_per_minute", "weight", "fault", "judge", "calibration", "runs", "false_halts", "false_rate_lower",
		"false_rate_upper", "missed", "passed", "undecided", "delay_median_minutes", "delay_p90_minutes", "bad_served",
	}}
	maybe := func(v *float64) string {
		if v == nil {
			return ""
		}
		return number(*v)
	}
	for _, r := range records {
		rows = append(rows, []string{
			r.World, number(r.Traffic), number(r.Weight), r.Fault, r.Judge, r.Calibration, strconv.Itoa(r.Runs), strconv.Itoa(r.Early),
			fmt.Sprintf("%.5f", r.Low), fmt.Sprintf("%.5f", r.High), strconv.Itoa(r.Missed), strconv.Itoa(r.Passed),
			strconv.Itoa(r.Undecided), maybe(r.Median), maybe(r.P90), fmt.Sprintf("%.1f", r.Bad),
		})
	}
	return out.WriteAll(rows)
}
