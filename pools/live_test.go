package pools_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/pools"
	"switchd/spec"
)

// drawLive draws a record that may be acted on.
func drawLive(t *rapid.T) *pools.Live {
	side := func(label string) pools.Side {
		return pools.Side{
			Pool:    rapid.SampledFrom([]string{spec.Blue, spec.Green}).Draw(t, label+" pool"),
			Version: rapid.StringMatching(`[0-9A-Za-z][0-9A-Za-z.+_-]{0,8}`).Draw(t, label+" version"),
		}
	}
	now := side("live")
	live := &pools.Live{
		Service: "web", Pool: now.Pool, Version: now.Version, Generation: rapid.Uint64Range(1, 1<<62).Draw(t, "generation"),
		Rollout: rapid.String().Draw(t, "rollout"), By: "test", At: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "at"), 0).UTC(),
		Index: rapid.Uint64().Draw(t, "index"),
	}
	if rapid.Bool().Draw(t, "switched before") {
		live.Previous = side("previous")
	}
	if rapid.Bool().Draw(t, "weighted") {
		blue := rapid.IntRange(0, 100).Draw(t, "blue")
		live.Weights = map[string]int{spec.Blue: blue, spec.Green: 100 - blue}
	}
	return live
}

func TestLive_SharesAddUpToAllUsers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		live := drawLive(t)
		if err := live.Validate(); err != nil {
			t.Fatal(err)
		}
		if sum := live.Share(spec.Blue) + live.Share(spec.Green); sum != 100 {
			t.Fatalf("the shares of %+v add up to %d", live, sum)
		}
		if len(live.Weights) == 0 && live.Share(live.Pool) != 100 {
			t.Fatalf("the live pool of %+v has %d %%", live, live.Share(live.Pool))
		}
	})
}

func TestLive_NextIsOneGenerationOnAndForgetsTheOccasion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		live := drawLive(t)
		at := time.Unix(1e9, 0)
		want := &pools.Live{
			Service: live.Service, Pool: live.Pool, Version: live.Version, Previous: live.Previous,
			Generation: live.Generation + 1, By: "someone", At: at.UTC(), Index: live.Index,
		}
		if got := live.Next("someone", at); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
	first := (*pools.Live)(nil).Next("someone", time.Unix(1e9, 0))
	if first.Generation != 1 || first.Index != 0 {
		t.Errorf("the first record: %+v, want generation 1 of a key that is to be created", first)
	}
	var none *pools.Live
	if none.Share(spec.Blue) != 0 || none.Side() != (pools.Side{}) || none.Side().String() != "nothing" {
		t.Error("without a record, something is live")
	}
}

func TestLive_IsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		live := drawLive(t)
		text, err := json.Marshal(live)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pools.ParseLive(text, live.Index)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, live) {
			t.Fatalf("got %+v, want %+v", got, live)
		}
	})
}

func TestLive_ValidateRefusesWhatMustNotBeActedOn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"pool":"red","version":"1","generation":1}`:                                            `pool is "red"`,
		`{"version":"1","generation":1}`:                                                         `pool is ""`,
		`{"pool":"blue","generation":1}`:                                                         "version or generation is missing",
		`{"pool":"blue","version":"1"}`:                                                          "version or generation is missing",
		`{"pool":"blue","version":"1","generation":1,"weights":{"blue":50}}`:                     "add up to 100",
		`{"pool":"blue","version":"1","generation":1,"weights":{"blue":-1,"green":101}}`:         "add up to 100",
		`{"pool":"blue","version":"1","generation":1,"weights":{"blue":100,"red":0}}`:            "add up to 100",
		`{"pool":"blue","version":"1","generation":1,"weights":{"blue":50,"green":30,"red":20}}`: "add up to 100",
		`{"pool":"blue","version":"1","generation":-1}`:                                          "parse the live record",
		`{"pool":"blue"`: "parse the live record",
		`null`:           `pool is ""`,
		`{"pool":"blue","version":"1","generation":1,"weights":{"blue":9223372036854775807}}`:     "add up to 100",
		`{"pool":"blue","version":"1","generation":1} {"pool":"green","version":"2","generation"`: "parse the live record",
	} {
		live, err := pools.ParseLive([]byte(text), 1)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v, want an error with %q", text, live, err, want)
		}
	}
}

func FuzzParseLive(f *testing.F) {
	for _, seed := range []string{
		"", "null", "{}", `{"service":"web","pool":"blue","version":"1.0","generation":3,"by":"x","at":"2026-03-01T12:00:00Z"}`,
		`{"pool":"green","version":"1","generation":1,"weights":{"blue":80,"green":20},"previous":{"pool":"blue","version":"0"}}`,
		`{"pool":"blue","version":"1","generation":1,"weights":{"blue":100,"red":0}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		live, err := pools.ParseLive(text, 7)
		if err != nil || len(text) == 0 {
			if live != nil {
				t.Fatalf("a record came with %v", err)
			}
			return
		}
		if live.Index != 7 || live.Generation == 0 || live.Version == "" || live.Share(spec.Blue)+live.Share(spec.Green) != 100 {
			t.Fatalf("not fit to be acted on: %+v", live)
		}
		again, err := json.Marshal(live)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := pools.ParseLive(again, 7); err != nil || same.Side() != live.Side() || same.Generation != live.Generation {
			t.Fatalf("written again it is %+v (%v), was %+v", same, err, live)
		}
	})
}
