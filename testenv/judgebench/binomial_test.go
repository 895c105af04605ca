package main

import "testing"

// The references are R's binom.test, rounded.
func TestShare_HasTheIntervalOfClopperAndPearson(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		share
		lower, upper float64
	}{
		{share{0, 10}, 0, 0.3084971},
		{share{5, 10}, 0.1870860, 0.8129140},
		{share{10, 10}, 0.6915029, 1},
		{share{1, 20}, 0.001265089, 0.2487328},
		{share{0, 2000}, 0, 0.001842739},
	} {
		lower, upper := test.interval()
		near(t, "the lower end", lower, test.lower, 1e-6)
		near(t, "the upper end", upper, test.upper, 1e-6)
	}
}
