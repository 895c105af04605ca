package main

import "slices"

// plan is a setting with the faults that are tried in it.
type plan struct {
	setting
	faults []fault
}

// grid returns what is simulated: all of it, or what fits into ten minutes.
func grid(full bool) []plan {
	var plans []plan
	for _, w := range worlds() {
		for _, place := range places(full) {
			p := plan{setting: setting{world: w, traffic: place.traffic, weight: place.weight}}
			if !full && place.few && !slices.Contains([]string{"iid", "ar0.9"}, w.name) {
				continue
			}
			if slices.Contains([]string{"iid", "trend", "ar0.9"}, w.name) && (full || w.name != "trend") {
				p.faults = faults(full, place.few)
			}
			plans = append(plans, p)
		}
	}
	return plans
}

type place struct {
	traffic, weight float64
	few             bool // of the reduced grid, for few worlds only
}

func places(full bool) []place {
	if !full {
		return []place{{3000, 0.5, false}, {60000, 0.1, false}, {300, 0.5, true}, {60000, 0.01, true}}
	}
	var all []place
	for _, traffic := range []float64{300, 3000, 60000} {
		for _, weight := range []float64{0.01, 0.1, 0.5} {
			all = append(all, place{traffic, weight, false})
		}
	}
	return all
}

func faults(full, few bool) []fault {
	if few {
		return []fault{{errors: 2}, {errors: 5}, {errors: 10}, {tail: 3}}
	}
	ratios, tails := []float64{1.2, 1.5, 2, 3, 5, 10}, []float64{2, 3, 5}
	var all []fault
	for _, onset := range []int{0, 10, 30} {
		if onset > 0 && !full {
			ratios, tails = []float64{2, 5}, []float64{3}
		}
		for _, r := range ratios {
			all = append(all, fault{errors: r, onset: onset})
		}
		for _, r := range tails {
			all = append(all, fault{tail: r, onset: onset})
		}
	}
	return all
}
