package mannwhitney_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchd/judge/mannwhitney"
)

// result is a metric, such as "High latency errors" in two groups, with "!" for
// a critical and "?" for a muted one.
func result(text string) mannwhitney.Result {
	words := strings.Fields(strings.Trim(text, "!?"))
	return mannwhitney.Result{
		Name: text, Groups: words[1:], Muted: strings.HasSuffix(text, "?"),
		Verdict: mannwhitney.Verdict{Classification: mannwhitney.Classification(words[0]), Critical: strings.HasSuffix(text, "!")},
	}
}

// TestSum_FollowsEachRule has a row for each branch of Kayenta's
// WeightedSumScorer, ScoringHelper and ThresholdScoreClassifier.
func TestSum_FollowsEachRule(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		results []string
		weights map[string]float64
		score   float64
		grade   mannwhitney.Grade
		reason  string
	}{
		{name: "pass", results: []string{"Pass a"}, score: 100, grade: mannwhitney.Passed},
		{name: "one of three, rounded", results: []string{"Pass a", "High a", "Low a"}, score: 33.33, grade: mannwhitney.Failed},
		{name: "two of three, rounded", results: []string{"Pass a", "Pass a", "Low a"}, score: 66.67, grade: mannwhitney.Failed},
		{name: "marginal from its threshold on", results: []string{"Pass a", "Pass a", "Pass a", "Low a"}, score: 75, grade: mannwhitney.Marginal},
		{name: "groups share evenly", results: []string{"Pass a", "High b", "Pass c", "Pass d"}, score: 75, grade: mannwhitney.Marginal},
		{name: "weights", results: []string{"Pass a", "High b"}, weights: map[string]float64{"a": 80, "b": 20}, score: 80, grade: mannwhitney.Marginal},
		{name: "what the weights leave is shared", results: []string{"Pass a", "Pass b", "High c"}, weights: map[string]float64{"a": 40}, score: 70, grade: mannwhitney.Failed},
		{name: "the weight of a group without metrics is lost", results: []string{"Pass a"}, weights: map[string]float64{"a": 60, "b": 40}, score: 60, grade: mannwhitney.Failed},
		{name: "a metric in two groups", results: []string{"Pass a b", "High b"}, score: 75, grade: mannwhitney.Marginal},
		{name: "a metric in no group adds nothing", results: []string{"High", "Pass a"}, score: 100, grade: mannwhitney.Passed},
		{name: "no data is not counted", results: []string{"Pass a", "Pass a", "Nodata a"}, score: 100, grade: mannwhitney.Passed},
		{name: "nor is an error", results: []string{"Pass a", "Pass a", "Error a"}, score: 100, grade: mannwhitney.Passed},
		{name: "data that must be there is", results: []string{"Pass a", "NodataFailMetric a"}, score: 50, grade: mannwhitney.Failed},
		{name: "a group without data is no objection", results: []string{"Pass a", "Pass a", "Nodata b"}, score: 100, grade: mannwhitney.Passed},
		{name: "half without data", results: []string{"Pass a", "Nodata a"}, score: 0, grade: mannwhitney.Failed, reason: "1 of 2 metrics have no data"},
		{name: "critical and high", results: []string{"Pass a", "Pass a", "High a!"}, score: 0, grade: mannwhitney.Failed, reason: "High a! is critical, and High"},
		{name: "critical without data", results: []string{"Pass a", "Pass a", "Nodata a!"}, score: 0, grade: mannwhitney.Failed, reason: "Nodata a! is critical, and Nodata"},
		{name: "critical, but passed", results: []string{"Pass a!", "Pass a"}, score: 100, grade: mannwhitney.Passed},
		{name: "muted", results: []string{"Pass a", "High a?", "Nodata a?"}, score: 100, grade: mannwhitney.Passed},
		{name: "muted and critical", results: []string{"Pass a", "High b!?"}, score: 100, grade: mannwhitney.Passed},
		{name: "nothing", score: 0, grade: mannwhitney.Failed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var results []mannwhitney.Result
			for _, text := range test.results {
				results = append(results, result(text))
			}
			got := mannwhitney.Sum(results, test.weights, mannwhitney.Thresholds{Pass: 95, Marginal: 75})
			if got.Score != test.score || got.Grade != test.grade || got.Reason != test.reason {
				t.Errorf("got %v, %s, %q, want %v, %s, %q", got.Score, got.Grade, got.Reason, test.score, test.grade, test.reason)
			}
		})
	}
}

func TestSum_StaysBetweenZeroAndAHundred(t *testing.T) {
	t.Parallel()
	classes := []string{"Pass", "High", "Low", "Nodata", "NodataFailMetric", "Error"}
	rapid.Check(t, func(t *rapid.T) {
		var results []mannwhitney.Result
		for range rapid.IntRange(0, 12).Draw(t, "metrics") {
			results = append(results, result(rapid.SampledFrom(classes).Draw(t, "class")+" "+rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "group")))
		}
		weights := map[string]float64{"a": rapid.Float64Range(0, 50).Draw(t, "a"), "b": rapid.Float64Range(0, 50).Draw(t, "b")}
		s := mannwhitney.Sum(results, weights, mannwhitney.Thresholds{Pass: 95, Marginal: 75})
		if s.Score < 0 || s.Score > 100 {
			t.Fatalf("the score is %v", s.Score)
		}
		if (s.Grade == mannwhitney.Passed) != (s.Score >= 95) || (s.Grade == mannwhitney.Failed) != (s.Score < 75) {
			t.Fatalf("a score of %v is a %s", s.Score, s.Grade)
		}
	})
}
