package analysis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// stale is the age from which a value no longer tells of now. Prometheus
// computes for the moment asked for; what stands before it may answer from a
// cache.
const stale = time.Minute

// value asks for one value and accepts only what can be compared with a bound.
func value(ctx context.Context, q Querier, promql string, at time.Time) (float64, error) {
	s, err := q.Query(ctx, promql, at)
	if err != nil {
		return 0, err
	}
	if age := at.Sub(s.At); age > stale {
		return 0, fmt.Errorf("the value is stale: it is %s old", age.Round(time.Second))
	}
	if math.IsNaN(s.Value) {
		return 0, errNaN
	}
	return s.Value, finite(s.Value)
}

// errNaN is a value that is not a number.
var errNaN = errors.New("the value is NaN, as 0/0 is without traffic")

func finite(v float64) error {
	if math.IsInf(v, 0) {
		return fmt.Errorf("the value is infinite (%v), as a division by zero is", v)
	}
	return nil
}

// maxShown bounds how much of a query is shown, in bytes.
const maxShown = 400

// oneLine joins the lines of a query and cuts it, so that it fits into a
// sentence.
func oneLine(promql string) string {
	line := strings.Join(strings.Fields(promql), " ")
	if len(line) > maxShown {
		return strings.ToValidUTF8(line[:maxShown], "") + "…"
	}
	return line
}
