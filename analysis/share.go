package analysis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"switchd/spec"
)

// Share is how much of a service's traffic a pool was measured to have.
type Share struct {
	Percent float64 // of Total, 0 to 100
	Total   float64 // requests per second of both pools
	At      time.Time
}

// errNoTraffic is a share of nothing.
var errNoTraffic = errors.New("there is no traffic to either pool")

// MeasureShare measures the share of a pool in the traffic of both, each by the same
// query for requests per second at the same moment. It is an error if one of the
// two is not known, or if there is no traffic: a share of that can't be told.
func MeasureShare(ctx context.Context, query string, pool, other spec.Vars, q Querier) (Share, error) {
	at := time.Now()
	var traffic [2]float64
	for i, vars := range []spec.Vars{pool, other} {
		rate, err := value(ctx, q, vars.Expand(query), at)
		switch {
		case err != nil:
			return Share{}, fmt.Errorf("traffic of %s: %w", vars.Pool, err)
		case rate < 0:
			return Share{}, fmt.Errorf("traffic of %s is %g requests/s, which is less than none", vars.Pool, rate)
		}
		traffic[i] = rate
	}
	total := traffic[0] + traffic[1]
	if total == 0 {
		return Share{}, errNoTraffic
	}
	return Share{Percent: 100 * traffic[0] / total, Total: total, At: at}, nil
}
