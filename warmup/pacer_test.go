package warmup

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func anyPacer(t *rapid.T) *pacer {
	return newPacer(rapid.IntRange(1, 5000).Draw(t, "rate"),
		time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "ramp")))
}

func TestPacer_SendsWhatIsPlanned(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := anyPacer(t)
		n := rapid.IntRange(0, 1_000_000).Draw(t, "n")
		if got := p.planned(p.due(float64(n))); math.Abs(got-float64(n)) > 1e-3 {
			t.Fatalf("request %d is due at %s, when %.4f are planned", n, p.due(float64(n)), got)
		}
	})
}

func TestPacer_NeverPausesLongerThanASecond(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := anyPacer(t)
		var now time.Duration
		for hits := range uint64(200) {
			wait, stop := p.Pace(now, hits)
			if stop || wait > time.Second+time.Microsecond {
				t.Fatalf("request %d: wait %s, stop %t", hits, wait, stop)
			}
			now += max(0, wait)
		}
	})
}

func TestPacer_LeavesOutWhatIsTooLate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := anyPacer(t)
		stood := time.Duration(rapid.Int64Range(int64(2*time.Second), int64(time.Hour)).Draw(t, "stood still"))
		now, at := p.due(5)+stood, 0
		for hits := uint64(5); ; hits++ {
			wait, _ := p.Pace(now, hits)
			if wait > 0 {
				break
			}
			if at++; at > int(p.rate*slack.Seconds())+2 {
				t.Fatalf("%d requests at once after a pause of %s", at, stood)
			}
		}
	})
}

func TestPacer_RateIsTheSlopeOfThePlan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := anyPacer(t)
		at := time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "at"))
		const step = time.Millisecond
		slope := (p.planned(at+step) - p.planned(at)) / step.Seconds()
		low, high := p.Rate(at), p.Rate(at+step)
		if slope < low-0.01*p.rate || slope > high+0.01*p.rate {
			t.Fatalf("slope %f, rate %f to %f", slope, low, high)
		}
	})
}
