package judge

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/spec"
)

func TestDescribe_ShowsValueAndBound(t *testing.T) {
	t.Parallel()
	share := `sum(rate(errors_total[1m])) / sum(rate(requests_total[1m]))`
	tests := []struct {
		query    string
		value    float64
		min, max *float64
		want     string
	}{
		{share, 0.052, nil, new(0.01), "0.052 (5.2 %), allowed at most 0.01 (1 %)"},
		{"", 0.052, nil, new(0.01), "0.052 (5.2 %), allowed at most 0.01 (1 %)"},
		{share, 0, nil, new(0.01), "0 (0 %), allowed at most 0.01 (1 %)"},
		{share, 1.5, nil, new(0.5), "1.5, allowed at most 0.5 (50 %)"},
		{share, 0.98, new(0.99), nil, "0.98 (98 %), allowed at least 0.99 (99 %)"},
		{share, 0.995, new(0.99), nil, "0.995 (99.5 %), allowed at least 0.99 (99 %)"},
		{share, 0.010000001, nil, new(0.01), "0.010000001 (1 %), allowed at most 0.01 (1 %)"},
		{`max(queue{path="/a"})`, 0.5, new(0.1), new(0.7), "0.5, allowed 0.1 to 0.7"},
		{`rate(took_sum[1m]) / rate(took_count[1m])`, 0.25, nil, new(0.2), "0.25, allowed at most 0.2"},
		{`histogram_quantile(0.95, x) / 1000`, 0.25, nil, new(0.2), "0.25, allowed at most 0.2"},
		{`queue`, 1234567.8, nil, new(1e6), "1234568, allowed at most 1000000"},
	}
	for _, tt := range tests {
		if got := describe(spec.Metric{Query: tt.query, Min: tt.min, Max: tt.max}, tt.value); got != tt.want {
			t.Errorf("describe(%v) = %q, want %q", tt.value, got, tt.want)
		}
	}
}

func TestApart_ShowsThatValuesDiffer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Float64().Draw(t, "a")
		b := rapid.OneOf(rapid.Float64(), rapid.Just(a*(1+1e-12))).Draw(t, "b")
		if x, y := apart(a, b, false); a != b && x == y {
			t.Fatalf("both are written as %s", x)
		}
	})
}

func TestSpan_IsReadable(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		6 * time.Second:         "6 s",
		1234 * time.Millisecond: "1.2 s",
		0:                       "0 s",
		2*time.Minute + 30*time.Second + time.Millisecond: "2 min 30 s",
		7 * time.Minute:              "7 min",
		59*time.Second + 999e6:       "60 s",
		2*time.Hour + 5*time.Minute:  "2 h 5 min",
		49*time.Hour + 3*time.Minute: "2 d 1 h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestCount_GroupsDigits(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]string{0: "0", 12: "12", 123.6: "124", 1234: "1,234", 41200: "41,200", 999999.7: "1,000,000"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%v) = %q, want %q", n, got, want)
		}
	}
}

func TestList_JoinsAsPeopleDo(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := list(names); got != want {
			t.Errorf("list(%q) = %q, want %q", names, got, want)
		}
	}
	if got, want := few([]string{"a", "b", "c", "d", "e", "f", "g"}, ", ", "metrics"), "a, b, c, d, e and 2 more metrics"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNeed_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for want, need := range map[string]Need{
		"": {},
		"still needs about 7 min and 41,200 requests": {Time: 7 * time.Minute, Requests: 41200},
		"still needs about 7 min":                     {Time: 7 * time.Minute},
		"still needs about 1,200 requests":            {Requests: 1200},
		"nothing will do":                             {Time: 7 * time.Minute, Never: "nothing will do"},
	} {
		if got := need.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
