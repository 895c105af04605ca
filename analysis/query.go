package analysis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Sample is the one value that a query gave.
type Sample struct {
	Value float64
	// Time is what the value was computed for.
	Time time.Time
}

// Querier answers a PromQL query as of a moment. A [*SpecError] says that the
// query itself is wrong; every other error says that the value isn't known.
// Implementations bound how long a query takes and are safe for concurrent use.
type Querier interface {
	Query(ctx context.Context, promql string, at time.Time) (Sample, error)
}

// SpecError is a query that can't be answered however long one waits, since it
// is written wrongly.
type SpecError struct {
	Query  string
	Reason string // what Prometheus says of it
}

// Error quotes the query and what is wrong with it.
func (e *SpecError) Error() string {
	return fmt.Sprintf("%s, in %q", e.Reason, oneLine(e.Query))
}

// ErrNoData is the answer to a query that matched no series.
var ErrNoData = errors.New("no data")

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
	switch age := at.Sub(s.Time); {
	case math.IsNaN(s.Value):
		return 0, errors.New("the value is NaN, as 0/0 is without traffic")
	case math.IsInf(s.Value, 0):
		return 0, fmt.Errorf("the value is infinite (%v), as a division by zero is", s.Value)
	case age > stale:
		return 0, fmt.Errorf("the value is stale: it is %s old", age.Round(time.Second))
	}
	return s.Value, nil
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
