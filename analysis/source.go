package analysis

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Point is a value at a time.
type Point struct {
	At    time.Time
	Value float64
}

// Series is one series of an answer, its points in the order of time.
type Series struct {
	Labels map[string]string
	Points []Point
}

// Querier answers a PromQL query as of a moment with one value. A [*SpecError]
// says that the query itself is wrong; every other error says that the value isn't
// known. Implementations bound how long a query takes and are safe for concurrent
// use.
type Querier interface {
	Query(ctx context.Context, promql string, at time.Time) (Point, error)
}

// Source is where samples come from. Its errors are those of a Querier; an answer
// that may be partial is an error as well.
type Source interface {
	Querier
	// Raw returns what was scraped in the time after from until to, at the times
	// it was, of every series that a selector matches.
	Raw(ctx context.Context, selector string, from, to time.Time) ([]Series, error)
	// Range evaluates a query at from and each step later until to. A series has
	// no point where it has no value.
	Range(ctx context.Context, promql string, from, to time.Time, step time.Duration) ([]Series, error)
}

// SpecError is a query that can't be answered however long one waits, since it
// is written wrongly.
type SpecError struct {
	Query  string
	Reason string // what Prometheus says of it
	// Fleeting is a mistake that shows in the data and not in the text, such as
	// several series where one is expected. If a query was answered before, then
	// a restart or a changed label may be behind it, and it may pass.
	Fleeting bool
}

// Error quotes the query and what is wrong with it.
func (e *SpecError) Error() string {
	return fmt.Sprintf("%s, in %q", e.Reason, oneLine(e.Query))
}

// ErrNoData is the answer to a query that matched no series.
var ErrNoData = errors.New("no data")
