//go:build linux

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a number of bytes, written as 64MiB.
type byteSize int64

// bitRate is a number of bits a second, written as tc(8) does: 20mbit.
type bitRate uint64

// maxQuantity bounds sizes and rates, so that no sum of them overflows.
const maxQuantity = 1 << 50

// unit is a suffix and what it stands for; the longer of two that end alike
// comes first.
type unit struct {
	suffix string
	factor float64
}

// UnmarshalText reads a size in B, KiB, MiB or GiB.
func (s *byteSize) UnmarshalText(text []byte) error {
	n, err := parseQuantity(string(text), []unit{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}})
	if err != nil {
		return fmt.Errorf("size: %w: write it like 64MiB", err)
	}
	*s = byteSize(n)
	return nil
}

// String writes the size in MiB.
func (s byteSize) String() string {
	return strconv.FormatFloat(float64(s)/(1<<20), 'f', -1, 64) + "MiB"
}

// UnmarshalText reads a rate in bit, kbit, mbit or gbit.
func (r *bitRate) UnmarshalText(text []byte) error {
	n, err := parseQuantity(string(text), []unit{{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {"bit", 1}})
	if err != nil {
		return fmt.Errorf("rate: %w: write it like 20mbit", err)
	}
	*r = bitRate(n)
	return nil
}

// String writes the rate in mbit.
func (r bitRate) String() string { return strconv.FormatFloat(float64(r)/1e6, 'f', -1, 64) + "mbit" }

func parseQuantity(text string, units []unit) (float64, error) {
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no number", number)
		}
		if n = math.Round(n * u.factor); n >= 1 && n <= maxQuantity { // false for NaN
			return n, nil
		}
		return 0, fmt.Errorf("%q is out of bounds", text)
	}
	return 0, fmt.Errorf("%q has no known unit", text)
}
