package swarm

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRest_KeepsTheQuestionsOfAllTogetherFew(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		holders := rapid.IntRange(0, 10_000).Draw(t, "holders")
		shortest := time.Duration(1<<63 - 1)
		for range 20 {
			got := rest(holders)
			shortest = min(shortest, got)
			if holders <= 100 && got != 0 {
				t.Fatalf("%d holders are looked at %v later", holders, got)
			}
			if most := time.Duration(holders) * 30 * time.Millisecond; got > most {
				t.Fatalf("%d holders are looked at %v later, at most %v", holders, got, most)
			}
		}
		if least := (time.Duration(holders)*meetOne - meetInterval) / 2; shortest < least {
			t.Fatalf("%d holders are looked at %v later, at least %v", holders, shortest, least)
		}
	})
}
