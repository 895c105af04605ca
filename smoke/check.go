package smoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"switchd/spec"
)

// Bounds of what is read and shown of an answer, in bytes.
const (
	maxHeader = 256 << 10
	maxBody   = 1 << 20
	maxShown  = 160
)

// Defaults for a check that was not compiled from a spec.
const (
	defaultTimeout = 5 * time.Second
	defaultStatus  = http.StatusOK
)

// check is one check made ready for one target.
type check struct {
	spec       spec.Smoke
	target     Target
	client     *http.Client
	url        string
	path       string
	header     http.Header
	wantBody   *regexp.Regexp
	wantHeader []headerMatch // sorted by name
}

// headerMatch is what a header of the answer must match.
type headerMatch struct {
	name string
	want *regexp.Regexp
}

// prepare expands the variables for the target and compiles the expressions.
// An error is a mistake in the spec.
func prepare(s spec.Smoke, vars spec.Vars, target Target, client *http.Client) (*check, error) {
	s.Method = cmp.Or(s.Method, http.MethodGet)
	s.Status = cmp.Or(s.Status, defaultStatus)
	if s.Timeout <= 0 {
		s.Timeout = spec.Duration(defaultTimeout)
	}
	vars = target.vars(vars)
	c := &check{spec: s, target: target, client: client, path: vars.Expand(s.Path), header: make(http.Header)}
	c.url = strings.TrimSuffix(target.URL, "/") + c.path
	if _, err := url.Parse(c.url); err != nil {
		return nil, fmt.Errorf("smoke %q: the path of the check: %w", s.Name, err)
	}

	c.header.Set("User-Agent", "switchd-smoke")
	for name, value := range s.Headers {
		c.header.Set(name, vars.Expand(value))
	}

	quoted := vars.Quoted()
	if s.WantBody != "" {
		want, err := regexp.Compile(quoted.Expand(s.WantBody))
		if err != nil {
			return nil, fmt.Errorf("smoke %q: want_body is no regular expression: %w", s.Name, err)
		}
		c.wantBody = want
	}
	for _, name := range slices.Sorted(maps.Keys(s.WantHeader)) {
		want, err := regexp.Compile(quoted.Expand(s.WantHeader[name]))
		if err != nil {
			return nil, fmt.Errorf("smoke %q: want_header %s is no regular expression: %w", s.Name, name, err)
		}
		c.wantHeader = append(c.wantHeader, headerMatch{name: name, want: want})
	}
	return c, nil
}

// String names the check and where it is done.
func (c *check) String() string {
	return fmt.Sprintf("smoke %q on %s", c.spec.Name, c.target)
}

// run tries until a try succeeds or no retry is left. It returns how many tries
// it took and the complaint of the last one, "" for none. An error means that
// ctx ended before it was known.
func (c *check) run(ctx context.Context) (tries int, complaint string, err error) {
	for tries = 1; ; tries++ {
		answer := c.try(ctx)
		if ctx.Err() != nil {
			return tries, complaint, ctx.Err() // what it says now is only that
		}
		complaint = answer
		if complaint == "" || tries > c.spec.Retries {
			return tries, complaint, nil
		}
		if err := wait(ctx, c.spec.RetryWait.Std()); err != nil {
			return tries, complaint, err
		}
	}
}

// try does the request once and returns what is wrong with the answer, "" if
// nothing is.
func (c *check) try(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, c.spec.Timeout.Std())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, c.spec.Method, c.url, nil)
	if err != nil {
		return fmt.Sprintf("%s %s can't be asked: %v", c.spec.Method, c.path, err)
	}
	req.Header = c.header.Clone()
	req.Host = c.target.Host
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}

	start := time.Now()
	resp, err := c.client.Do(req)
	if err != nil {
		return c.noAnswer(err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from; nothing to lose
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return fmt.Sprintf("%s %s answered %d, but its body broke off after %d bytes: %v",
			c.spec.Method, c.path, resp.StatusCode, len(body), c.cause(err))
	}
	return c.judge(resp, body, time.Since(start))
}

// judge compares an answer with what is wanted.
func (c *check) judge(resp *http.Response, body []byte, took time.Duration) string {
	asked := c.spec.Method + " " + c.path
	if resp.StatusCode != c.spec.Status {
		got := fmt.Sprint(resp.StatusCode)
		if to := resp.Header.Get("Location"); to != "" {
			got += " to " + shown(to)
		}
		return fmt.Sprintf("%s answered %s, expected %d", asked, got, c.spec.Status)
	}
	for _, h := range c.wantHeader {
		values := resp.Header.Values(h.name)
		if len(values) == 0 {
			return fmt.Sprintf("%s answered without the header %s, expected it to match %q", asked, h.name, h.want)
		}
		if !slices.ContainsFunc(values, h.want.MatchString) {
			return fmt.Sprintf("%s answered the header %s: %s, expected it to match %q", asked, h.name, shown(strings.Join(values, ", ")), h.want)
		}
	}
	if c.wantBody != nil {
		note := ""
		if len(body) > maxBody {
			body, note = body[:maxBody], " (only its first MiB is looked at)"
		}
		if !c.wantBody.Match(body) {
			return fmt.Sprintf("%s answered the body %s%s, expected it to match %q", asked, shown(string(body)), note, c.wantBody)
		}
	}
	if limit := c.spec.MaxLatency.Std(); limit > 0 && took > limit {
		return fmt.Sprintf("%s took %s, expected at most %s", asked, took.Round(time.Millisecond), limit)
	}
	return ""
}

func (c *check) noAnswer(err error) string {
	return fmt.Sprintf("%s %s got no answer: %v, expected %d", c.spec.Method, c.path, c.cause(err), c.spec.Status)
}

// cause strips what the sentence says already, and puts a timeout in words.
func (c *check) cause(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("timed out after %s", c.spec.Timeout)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// shown quotes a text from outside, cut to a length that a person reads.
func shown(text string) string {
	if len(text) > maxShown {
		return fmt.Sprintf("%q…", text[:maxShown])
	}
	return fmt.Sprintf("%q", text)
}

// wait sleeps for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
