//go:build linux

package main

import (
	"testing"

	"pgregory.net/rapid"
)

func TestUnits_ReadBackWhatTheyWrite(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := byteSize(rapid.Int64Range(1, maxQuantity).Draw(t, "size"))
		rate := bitRate(rapid.Uint64Range(1, maxQuantity).Draw(t, "rate"))
		var gotSize byteSize
		if err := gotSize.UnmarshalText([]byte(size.String())); err != nil || gotSize != size {
			t.Fatalf("%d, written %s: got %d (%v)", size, size, gotSize, err)
		}
		var gotRate bitRate
		if err := gotRate.UnmarshalText([]byte(rate.String())); err != nil || gotRate != rate {
			t.Fatalf("%d, written %s: got %d (%v)", rate, rate, gotRate, err)
		}
	})
}

func TestUnits_KnowTheirSuffixes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]byteSize{"1B": 1, "2KiB": 2048, "64MiB": 64 << 20, "1.5GiB": 3 << 29} {
		var got byteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %d (%v), want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]bitRate{"9bit": 9, "64kbit": 64e3, "20mbit": 20e6, "2.5gbit": 25e8} {
		var got bitRate
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %d (%v), want %d", text, got, err, want)
		}
	}
}

func FuzzUnits(f *testing.F) {
	for _, seed := range []string{"64MiB", "20mbit", "-1B", "NaNbit", "1e300GiB", "", "mbit"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var size byteSize
		if err := size.UnmarshalText([]byte(text)); err == nil && (size < 1 || size > maxQuantity) {
			t.Errorf("%q: got %d", text, size)
		}
		var rate bitRate
		if err := rate.UnmarshalText([]byte(text)); err == nil && (rate < 1 || rate > maxQuantity) {
			t.Errorf("%q: got %d", text, rate)
		}
	})
}
