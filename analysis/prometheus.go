package analysis

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// queryTimeout bounds one query, for Prometheus and for the connection to it, and
// rangeTimeout one that gives many points.
const (
	queryTimeout = 5 * time.Second
	rangeTimeout = 15 * time.Second
)

// maxAnswer bounds the answer to a query for one value, in bytes, which takes a
// few hundred; maxPoints that of one for many.
const (
	maxAnswer = 1 << 20
	maxPoints = 32 << 20
)

// Prometheus answers queries by the HTTP API of a Prometheus server, or of
// anything that speaks it.
//
// A [*SpecError] is a query that Prometheus refuses as bad data (HTTP 400), or one
// that it can't execute (HTTP 422): the latter is a Fleeting one, since it hangs
// on the series that there are. A 422 that tells of a limit of the server or of
// what stands behind it (Thanos reports an unreachable store so) is none: as a
// timeout, a 5xx, an aborted query or an error on the way it says that the answer
// isn't known. See https://prometheus.io/docs/prometheus/latest/querying/api/.
type Prometheus struct {
	base   string // without a password
	single promv1.API
	many   promv1.API
}

var _ Source = (*Prometheus)(nil)

// NewPrometheus returns a Source for the API at a base URL, such as
// http://127.0.0.1:9090. It doesn't connect yet. The proxy variables of the
// environment don't count, and redirects are not followed.
func NewPrometheus(base string) (*Prometheus, error) {
	u, err := url.Parse(base)
	if err != nil {
		// Not the error, which would tell a password.
		return nil, errors.New("the address of Prometheus is no URL: expected http://host:port or https://host:port")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("address of Prometheus %q: expected http://host:port or https://host:port", u.Redacted())
	}
	p := &Prometheus{base: u.Redacted()}
	if p.single, err = newAPI(base, maxAnswer); err != nil {
		return nil, err
	}
	if p.many, err = newAPI(base, maxPoints); err != nil {
		return nil, err
	}
	return p, nil
}

func newAPI(base string, longest int) (promv1.API, error) {
	client, err := api.NewClient(api.Config{
		Address: base,
		Client: &http.Client{
			// A look every few seconds needs no connection kept open, and a
			// new one finds a server that has moved.
			Transport:     bounded{&http.Transport{DisableKeepAlives: true}, longest},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	if err != nil {
		return nil, fmt.Errorf("create client of Prometheus: %w", err)
	}
	return promv1.NewAPI(client), nil
}

// Query evaluates a PromQL instant query within five seconds. A scalar and a
// vector of one series are one value; [ErrNoData] is a vector of none. Several
// series are an error.
func (p *Prometheus) Query(ctx context.Context, promql string, at time.Time) (Point, error) {
	v, err := p.ask(ctx, promql, queryTimeout, func(ctx context.Context) (model.Value, promv1.Warnings, error) {
		v, warnings, _, err := p.single.Query(ctx, promql, at, promv1.WithTimeout(queryTimeout))
		return v, warnings, err
	})
	if err != nil {
		return Point{}, err
	}
	switch v := v.(type) {
	case *model.Scalar:
		return Point{At: v.Timestamp.Time(), Value: float64(v.Value)}, nil
	case model.Vector:
		return single(v)
	default:
		return Point{}, &SpecError{Query: promql, Reason: fmt.Sprintf("the query gives a %s where one value is expected", v.Type())}
	}
}

// Raw evaluates the selector as a range vector, within fifteen seconds.
func (p *Prometheus) Raw(ctx context.Context, selector string, from, to time.Time) ([]Series, error) {
	// On a line of its own, a comment at the selector's end can't hide the range.
	promql := fmt.Sprintf("%s\n[%s]", selector, promDuration(to.Sub(from)))
	v, err := p.ask(ctx, selector, rangeTimeout, func(ctx context.Context) (model.Value, promv1.Warnings, error) {
		v, warnings, _, err := p.many.Query(ctx, promql, to, promv1.WithTimeout(rangeTimeout))
		return v, warnings, err
	})
	if mistake, wrong := errors.AsType[*SpecError](err); wrong && strings.Contains(mistake.Reason, "ranges only allowed for vector selectors") {
		mistake.Reason = `it is to be a plain selector of counters, such as name{label="value"}, without rate() or increase()`
	}
	if err != nil {
		return nil, err
	}
	series, err := matrix(v, selector)
	for i := range series {
		// Up to Prometheus 2, a range includes its beginning.
		series[i].Points = series[i].Points[until(series[i].Points, from):]
	}
	return series, err
}

// Range evaluates a PromQL range query within fifteen seconds.
func (p *Prometheus) Range(ctx context.Context, promql string, from, to time.Time, step time.Duration) ([]Series, error) {
	v, err := p.ask(ctx, promql, rangeTimeout, func(ctx context.Context) (model.Value, promv1.Warnings, error) {
		v, warnings, _, err := p.many.QueryRange(ctx, promql, promv1.Range{Start: from, End: to, Step: step}, promv1.WithTimeout(rangeTimeout))
		return v, warnings, err
	})
	if err != nil {
		return nil, err
	}
	return matrix(v, promql)
}

// ask bounds a query in time and refuses an answer that may be partial.
func (p *Prometheus) ask(ctx context.Context, promql string, timeout time.Duration,
	query func(context.Context) (model.Value, promv1.Warnings, error),
) (model.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	v, warnings, err := query(ctx)
	if err != nil {
		return nil, p.explain(ctx, promql, timeout, err)
	}
	if len(warnings) > 0 {
		return nil, fmt.Errorf("the data may be partial, Prometheus warns: %s", oneLine(strings.Join(warnings, "; ")))
	}
	if v == nil {
		return nil, fmt.Errorf("ask Prometheus at %s: the answer has no result", p.base)
	}
	return v, nil
}

// single returns the value of a vector of one series.
func single(v model.Vector) (Point, error) {
	switch {
	case len(v) == 0:
		return Point{}, ErrNoData
	case len(v) > 1:
		return Point{}, fmt.Errorf("%d series where one is expected, such as %s and %s: aggregate them, with sum() for example",
			len(v), v[0].Metric, v[1].Metric)
	case v[0].Histogram != nil:
		return Point{}, errors.New("a histogram where one value is expected: take a quantile of it, with histogram_quantile() for example")
	}
	return Point{At: v[0].Timestamp.Time(), Value: float64(v[0].Value)}, nil
}

// matrix returns the series of an answer with many points.
func matrix(v model.Value, promql string) ([]Series, error) {
	m, ok := v.(model.Matrix)
	if !ok {
		return nil, &SpecError{Query: promql, Reason: fmt.Sprintf("the query gives a %s where series are expected", v.Type())}
	}
	all := make([]Series, len(m))
	for i, stream := range m {
		if len(stream.Histograms) > 0 {
			return nil, &SpecError{Query: promql, Fleeting: true, Reason: fmt.Sprintf(
				"%s is a native histogram where numbers are expected: take a part of it, with histogram_fraction() for example", stream.Metric)}
		}
		all[i].Labels = make(map[string]string, len(stream.Metric))
		for name, value := range stream.Metric {
			all[i].Labels[string(name)] = string(value)
		}
		all[i].Points = make([]Point, len(stream.Values))
		for j, pair := range stream.Values {
			all[i].Points[j] = Point{At: pair.Timestamp.Time(), Value: float64(pair.Value)}
		}
	}
	return all, nil
}

// beyond are words of a 422 that is no mistake of the query: a limit of the
// server, or a store behind it that can't be reached.
var beyond = []string{
	"too many samples", "deadline exceeded", "context canceled", "timed out", "timeout", "rpc error",
	"connection refused", "connection reset", "no such host", "unavailable", "expanding series",
}

// explain tells a query that is wrong from an answer that isn't known.
func (p *Prometheus) explain(ctx context.Context, promql string, timeout time.Duration, err error) error {
	if e, ok := errors.AsType[*promv1.Error](err); ok {
		switch e.Type {
		case promv1.ErrBadData:
			return &SpecError{Query: promql, Reason: oneLine(e.Msg)}
		case promv1.ErrExec:
			said := func(words string) bool { return strings.Contains(strings.ToLower(e.Msg), words) }
			if !slices.ContainsFunc(beyond, said) {
				return &SpecError{Query: promql, Reason: oneLine(e.Msg), Fleeting: true}
			}
		case promv1.ErrTimeout, promv1.ErrCanceled, promv1.ErrBadResponse, promv1.ErrServer, promv1.ErrClient:
		}
		if e.Detail != "" {
			err = fmt.Errorf("%w: %s", e, oneLine(e.Detail))
		}
	} else if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", timeout)
	} else if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the URL, which is said already
	}
	return fmt.Errorf("ask Prometheus at %s: %w", p.base, err)
}

// promDuration writes a duration as PromQL does, to the millisecond.
func promDuration(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second)
	default:
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
}
