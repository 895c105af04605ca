package analysis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// queryTimeout bounds one query, for Prometheus and for the connection to it.
const queryTimeout = 5 * time.Second

// maxAnswer bounds the answer to a query, in bytes. One value takes a few
// hundred.
const maxAnswer = 1 << 20

// Prometheus answers queries by the HTTP API of a Prometheus server, or of
// anything that speaks it.
type Prometheus struct {
	base string // without a password
	api  promv1.API
}

var _ Querier = (*Prometheus)(nil)

// NewPrometheus returns a Querier for the API at a base URL, such as
// http://127.0.0.1:9090. It doesn't connect yet. The proxy variables of the
// environment don't count, and redirects are not followed.
func NewPrometheus(base string) (*Prometheus, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("parse the address of Prometheus: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("address of Prometheus %q: expected http://host:port or https://host:port", u.Redacted())
	}
	client, err := api.NewClient(api.Config{
		Address: base,
		Client: &http.Client{
			// A look every few seconds needs no connection kept open, and a
			// new one finds a server that has moved.
			Transport:     bounded{&http.Transport{DisableKeepAlives: true}},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	if err != nil {
		return nil, fmt.Errorf("create client of Prometheus: %w", err)
	}
	return &Prometheus{base: u.Redacted(), api: promv1.NewAPI(client)}, nil
}

// Query evaluates a PromQL instant query within five seconds. A scalar and a
// vector of one series are one value; [ErrNoData] is a vector of none. Several
// series, an answer with warnings (it may be partial), an error of the server
// and one on the way are errors too. A [*SpecError] is a query that Prometheus
// refuses as bad data (HTTP 400) or can't execute (HTTP 422), see
// https://prometheus.io/docs/prometheus/latest/querying/api/.
func (p *Prometheus) Query(ctx context.Context, promql string, at time.Time) (Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	v, warnings, _, err := p.api.Query(ctx, promql, at, promv1.WithTimeout(queryTimeout))
	if err != nil {
		return Sample{}, p.explain(ctx, promql, err)
	}
	if len(warnings) > 0 {
		return Sample{}, fmt.Errorf("the data may be partial, Prometheus warns: %s", strings.Join(warnings, "; "))
	}
	switch v := v.(type) {
	case *model.Scalar:
		return Sample{Value: float64(v.Value), Time: v.Timestamp.Time()}, nil
	case model.Vector:
		return single(v)
	default:
		return Sample{}, &SpecError{Query: promql, Reason: fmt.Sprintf("the query gives a %s where one value is expected", v.Type())}
	}
}

// single returns the value of a vector of one series.
func single(v model.Vector) (Sample, error) {
	switch {
	case len(v) == 0:
		return Sample{}, ErrNoData
	case len(v) > 1:
		return Sample{}, fmt.Errorf("%d series where one is expected, such as %s and %s: aggregate them, with sum() for example",
			len(v), v[0].Metric, v[1].Metric)
	case v[0].Histogram != nil:
		return Sample{}, errors.New("a histogram where one value is expected: take a quantile of it, with histogram_quantile() for example")
	}
	return Sample{Value: float64(v[0].Value), Time: v[0].Timestamp.Time()}, nil
}

// explain tells a query that is wrong from an answer that isn't known.
func (p *Prometheus) explain(ctx context.Context, promql string, err error) error {
	if e, ok := errors.AsType[*promv1.Error](err); ok {
		if e.Type == promv1.ErrBadData || e.Type == promv1.ErrExec {
			return &SpecError{Query: promql, Reason: e.Msg}
		}
		if e.Detail != "" {
			err = fmt.Errorf("%w: %s", e, oneLine(e.Detail))
		}
	} else if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", queryTimeout)
	} else if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the URL, which is said already
	}
	return fmt.Errorf("ask Prometheus at %s: %w", p.base, err)
}

// bounded limits the size of every answer, which the client of the API reads
// whole.
type bounded struct{ next http.RoundTripper }

// RoundTrip does the request and bounds the body of its answer.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
