package waitfor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"switchd/gate"
)

// maxBody bounds the body of an answer, maxHeader what comes before it, in bytes.
const (
	maxBody   = 1 << 20
	maxHeader = 64 << 10
)

// question is a GET and the answer that is waited for.
type question struct {
	address string
	shown   string // without a password
	status  int
	body    *regexp.Regexp // nil: any
	timeout time.Duration
}

// watchURL asks again and again.
func (w Wait) watchURL(ctx context.Context, report func(gate.Verdict)) {
	q, err := w.question()
	if err != nil {
		report(gate.Undecided("%v", err))
		<-ctx.Done()
		return
	}
	report(gate.Undecided("%s is asked for the first time, for %s at most", q.shown, q.timeout))
	w.again(ctx, report, q.ask)
}

func (w Wait) question() (question, error) {
	u, err := url.Parse(w.Vars.Expand(w.For.URL))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		// Not the error, which would tell a password.
		return question{}, fmt.Errorf("the url of wait %q is none with http:// or https:// and a host", w.For.Name)
	}
	q := question{address: u.String(), shown: u.Redacted(), status: cmp.Or(w.For.Status, http.StatusOK), timeout: w.timeout()}
	if w.For.Body != "" {
		if q.body, err = regexp.Compile(w.Vars.Quoted().Expand(w.For.Body)); err != nil {
			return question{}, fmt.Errorf("the body of wait %q: %w", w.For.Name, err)
		}
	}
	return q, nil
}

// ask asks once, without the proxies of the environment, and follows no redirects.
// A question every few seconds needs no connection kept open.
func (q question) ask(ctx context.Context) gate.Verdict {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, q.address, http.NoBody)
	if err != nil {
		return gate.Undecided("%s can't be asked", q.shown)
	}
	request.Header.Set("User-Agent", "switchd")
	response, err := client.Do(request)
	if err != nil {
		return gate.Undecided("%s does not answer: %v", q.shown, q.cause(ctx, err))
	}
	defer response.Body.Close()
	if response.StatusCode != q.status {
		v := gate.Undecided("%s answers %d, and must answer %d", q.shown, response.StatusCode, q.status)
		if to := response.Header.Get("Location"); to != "" {
			v.Why += "; redirects are not followed, this one leads to " + quote(to)
		}
		return v
	}
	if q.body == nil {
		return gate.Passed("%s answers %d", q.shown, q.status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case err != nil:
		return gate.Undecided("%s breaks off its answer: %v", q.shown, q.cause(ctx, err))
	case len(body) > maxBody:
		return gate.Undecided("%s answers with more than %d bytes, of which none are looked at", q.shown, maxBody)
	case !q.body.Match(body):
		return gate.Undecided("%s answers %d, but its body does not match %s; it begins with %s", q.shown, q.status, quote(q.body.String()), quote(string(body)))
	default:
		return gate.Passed("%s answers %d, and its body matches %s", q.shown, q.status, quote(q.body.String()))
	}
}

// cause is the error without the URL, which is said already.
func (q question) cause(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s are over", q.timeout)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
