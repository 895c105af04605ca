package analysis

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
		2*time.Minute + 30*time.Second + time.Millisecond: "2m30s",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%s) = %q, want %q", d, got, want)
		}
	}
}
