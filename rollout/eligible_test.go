package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// proven is a version that has been done in staging since 10:30, seen at noon.
func proven() *rollout.Eligibility {
	return &rollout.Eligibility{
		Upstream: "staging", Service: "web", Version: "2.0.0", Rollout: "r1", Done: noon.Add(-90 * time.Minute),
		Release: "digest", Seen: noon, For: spec.Duration(time.Hour), Contact: rollout.Contact{Upstream: "staging", At: noon},
	}
}

func TestEligibility_SaysWhatAVersionLacks(t *testing.T) {
	t.Parallel()
	away := rollout.Contact{Upstream: "staging", At: noon.Add(-time.Hour), Error: "connection refused", Since: noon.Add(-50 * time.Minute)}
	for want, change := range map[string]func(*rollout.Eligibility){
		"": func(*rollout.Eligibility) {},
		"environment staging was not read yet; no replica of `switchd serve` reads it": func(e *rollout.Eligibility) { *e = rollout.Eligibility{Upstream: "staging", Service: "web"} },
		"environment staging was not read yet; staging can't be read since 11:10: connection refused": func(e *rollout.Eligibility) {
			*e = rollout.Eligibility{Upstream: "staging", Service: "web", Contact: away}
		},
		"nothing of web is live in staging":                      func(e *rollout.Eligibility) { e.Version, e.Done = "", time.Time{} },
		"what staging holds of web can't be read: phase \"new\"": func(e *rollout.Eligibility) { e.Version, e.Done, e.Missing = "", time.Time{}, `phase "new"` },
		"not live in staging, where 2.1.0 is":                    func(e *rollout.Eligibility) { e.Version = "2.1.0" },
		"not done in staging: its rollout there is under way (baking)": func(e *rollout.Eligibility) {
			e.Done, e.Missing = time.Time{}, "its rollout there is under way (baking)"
		},
		"done in staging for 20m of 1h, eligible at 12:40":               func(e *rollout.Eligibility) { e.Done = noon.Add(-20 * time.Minute) },
		"done in staging for 1h30m of 24h, eligible at 2030-01-02 10:30": func(e *rollout.Eligibility) { e.For = spec.Duration(24 * time.Hour) },
		"done in staging for 40m5s of 1h when that was read last, at 11:10; staging can't be read since 11:10: connection refused": func(e *rollout.Eligibility) {
			e.Seen, e.Done, e.Contact = noon.Add(-50*time.Minute), noon.Add(-90*time.Minute-5*time.Second), away
		},
		"its release can't be taken over from staging: not trusted": func(e *rollout.Eligibility) { e.Trouble = "not trusted" },
		"its release is on its way here from staging":               func(e *rollout.Eligibility) { e.Release = "" },
	} {
		e := proven()
		change(e)
		if got := e.Lacks("2.0.0", noon); got != want || e.Eligible("2.0.0") != (want == "") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	// It stays eligible while staging is away: that is harmless.
	e := proven()
	e.Contact = away
	if !e.Eligible("2.0.0") {
		t.Errorf("lost: %s", e.Lacks("2.0.0", noon))
	}
	if none := (*rollout.Eligibility)(nil); !none.Eligible("2.0.0") {
		t.Error("where nothing comes before, everything is eligible")
	}
}

// TestEligibility_NeedsASightOfTheWholeTime is the rule that what nobody could
// see proves nothing.
func TestEligibility_NeedsASightOfTheWholeTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := proven()
		e.For = spec.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "for"))
		e.Done = noon.Add(-time.Duration(rapid.Int64Range(0, int64(72*time.Hour)).Draw(t, "done")))
		e.Seen = e.Done.Add(time.Duration(rapid.Int64Range(0, int64(72*time.Hour)).Draw(t, "seen")))
		saw := e.Seen.Sub(e.Done)
		if got := e.Eligible("2.0.0"); got != (saw >= e.For.Std()) {
			t.Fatalf("seen for %s of %s: eligible is %v", saw, e.For, got)
		}
		if lacks := e.Lacks("2.0.0", noon); (lacks == "") != e.Eligible("2.0.0") {
			t.Fatalf("eligible is %v, it lacks %q", e.Eligible("2.0.0"), lacks)
		}
	})
}

func TestPromote_WantsWhatTheEnvironmentBeforeHasProven(t *testing.T) {
	t.Parallel()
	s := rollout.Situation{Spec: spec.Service{Name: "web"}, Released: true, Eligible: proven()}
	change, err := rollout.Promote(s, "r1", "2.0.0", "alice", noon)
	if err != nil {
		t.Fatal(err)
	}
	if g := change.Record.Gates; len(g) != 1 || g[0].Name != "staging" || g[0].Kind != rollout.GateUpstream || g[0].Outcome != rollout.GatePassed || !strings.Contains(g[0].Why, "rollout r1") {
		t.Errorf("the decision record has %+v", g)
	}
	s.Eligible.Done = noon.Add(-20 * time.Minute)
	_, err = rollout.Promote(s, "r1", "2.0.0", "alice", noon)
	var refused *rollout.Refusal
	if !errors.As(err, &refused) || refused.Reason != rollout.NotEligible {
		t.Fatalf("got %v, want it refused", err)
	}
	for _, word := range []string{"web 2.0.0 is not eligible: done in staging for 20m of 1h, eligible at 12:40", "--bypass staging"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q isn't said: %v", word, err)
		}
	}
	// A bypass of another gate is none of this one.
	s.Spec.Waits = []spec.WaitFor{{Name: "migration"}}
	if _, err = rollout.Promote(s, "r1", "2.0.0", "alice", noon, rollout.Bypass{Gate: "migration", Why: "done by hand"}); !errors.As(err, &refused) || refused.Reason != rollout.NotEligible {
		t.Errorf("got %v, want it refused", err)
	}
	change, err = rollout.Promote(s, "r1", "2.0.0", "alice", noon, rollout.Bypass{Gate: "staging", By: "alice", Why: "a hotfix"})
	if err != nil {
		t.Fatal(err)
	}
	if g := change.Record.Gates; len(g) != 1 || g[0].Outcome != rollout.GateBypassed || !strings.Contains(g[0].Why, "a hotfix (done in staging for 20m") {
		t.Errorf("the decision record has %+v", g)
	}
	if len(change.Bypasses) != 1 || change.Bypasses[0].Rollout != "r1" {
		t.Errorf("written along: %+v", change.Bypasses)
	}
	s.Live = &pools.Live{Version: "2.0.0", Pool: spec.Blue}
	if _, err = rollout.Promote(s, "r1", "2.0.0", "alice", noon); !errors.As(err, &refused) || refused.Reason != rollout.AlreadyLive {
		t.Errorf("got %v, want it to be live already", err)
	}
}

func TestParseEligibility_TakesNothingForNothingAndNoNonsense(t *testing.T) {
	t.Parallel()
	if e, err := rollout.ParseEligibility(nil, 0); e != nil || err != nil {
		t.Errorf("got %+v, %v", e, err)
	}
	if e, err := rollout.ParseEligibility([]byte(`{"upstream":`), 7); err == nil {
		t.Errorf("got %+v", e)
	}
	e, err := rollout.ParseEligibility([]byte(`{"upstream":"staging","version":"2.0.0"}`), 7)
	if err != nil || e.Upstream != "staging" || e.Version != "2.0.0" || e.Index != 7 {
		t.Errorf("got %+v, %v", e, err)
	}
}

func FuzzParseEligibility(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"upstream":"staging","service":"web","version":"2.0.0","done":"2030-01-01T10:00:00Z","seen":"2030-01-01T12:00:00Z"}`, `{"done":"x"}`, "[]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := rollout.ParseEligibility(text, 1)
		if err != nil || e == nil {
			return
		}
		if lacks := e.Lacks(e.Version, noon); (lacks == "") != e.Eligible(e.Version) {
			t.Fatalf("eligible is %v, it lacks %q", e.Eligible(e.Version), lacks)
		}
	})
}
