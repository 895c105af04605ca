package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"switchd/consul"
	"switchd/pools"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
	"switchd/status"
	"switchd/train"
	"switchd/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reader is an environment in memory, whose parts a test may replace.
type reader struct {
	situation rollout.Situation
	observe   func(ctx context.Context) error
	trains    []*train.Train

	mu       sync.Mutex
	err      error // of every read
	observed int
	listed   int // reads of the history
	history  []*rollout.Record
}

func (r *reader) Env() string { return "prod" }

func (r *reader) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *reader) reads() (observed, listed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.observed, r.listed
}

func (r *reader) Services(context.Context) ([]spec.Service, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []spec.Service{r.situation.Spec}, r.err
}

func (r *reader) Observe(ctx context.Context, _ string) (rollout.Situation, error) {
	if r.observe != nil {
		if err := r.observe(ctx); err != nil {
			return rollout.Situation{}, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observed++
	return r.situation, r.err
}

func (r *reader) Trains(context.Context) ([]*train.Train, error) { return r.trains, nil }

func (r *reader) Replicas(context.Context) ([]replica.Replica, error) {
	return []replica.Replica{{Name: "r1", Env: "prod", HTTP: "192.0.2.1:8700", DNS: "192.0.2.1:53", Passing: true}}, nil
}

func (r *reader) History(context.Context, string) ([]*rollout.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listed++
	return r.history, r.err
}

// newReader has one service in the middle of its canary, which began some
// seconds ago.
func newReader() *reader {
	now := time.Now().UTC()
	return &reader{
		situation: rollout.Situation{
			Spec: spec.Service{Name: "web", Owner: "team-web", Roll: spec.Roll{Quorum: spec.Nodes(1)}, Approvals: []spec.Approval{{Name: "ops"}}},
			Record: &rollout.Record{
				ID: "web-2.4.0", Service: "web", Version: "2.4.0", Pool: spec.Green, From: pools.Side{Pool: spec.Blue, Version: "2.3.0"},
				By: "deploy@ci", At: now.Add(-time.Minute), Phase: rollout.Canary, Entered: now.Add(-12 * time.Second),
				Deadline: now.Add(48 * time.Second), Then: spec.ThenHalt,
				Wait: &rollout.Wait{For: "for the analysis at 5 %", Since: now.Add(-12 * time.Second), Until: now.Add(48 * time.Second), Then: spec.ThenHalt},
			},
			Live: &pools.Live{
				Service: "web", Pool: spec.Blue, Version: "2.3.0", Generation: 7, By: "switchd", At: now.Add(-time.Hour),
				Weights: map[string]int{spec.Blue: 95, spec.Green: 5},
			},
			Pools: map[string]pools.Pool{
				spec.Blue:  {{Node: "n1", Address: "192.0.2.1", Port: 80, Version: "2.3.0", Passing: true}, {Node: "n2", Address: "192.0.2.2", Port: 80, Version: "2.3.0", Why: "GET /healthz: timeout"}},
				spec.Green: {{Node: "n3", Address: "192.0.2.3", Port: 80, Version: "2.4.0", Passing: true}},
			},
		},
		history: []*rollout.Record{
			{Service: "web", Version: "2.2.0", Pool: spec.Green, By: "bob", At: now.Add(-3 * time.Hour), Entered: now.Add(-150 * time.Minute), Phase: rollout.Done, Outcome: "2.2.0 is live on green"},
			{Service: "web", Version: "2.3.0", Pool: spec.Blue, By: "alice", At: now.Add(-2 * time.Hour), Entered: now.Add(-time.Hour), Phase: rollout.Done, Outcome: "2.3.0 is live on blue"},
		},
	}
}

func config(r *reader) web.Config {
	return web.Config{
		Ledger: r, Replica: "r1", Driving: func() bool { return true },
		DNS: func() (uint32, time.Duration, bool) { return 42, 1900 * time.Millisecond, true },
		Log: slog.New(slog.DiscardHandler),
	}
}

// get asks a handler and gives its answer and the body.
func get(t *testing.T, h http.Handler, method, path string) (*httptest.ResponseRecorder, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return recorder, recorder.Body.String()
}

// away is what reading gives while Consul can't be reached.
func away() error { return &consul.Error{Action: "read", Kind: consul.ErrUnreachable} }

func TestHealth_IsGoodWithoutConsul(t *testing.T) {
	t.Parallel()
	r := newReader()
	r.fail(away())
	for _, test := range []struct {
		name   string
		change func(*web.Config)
		want   string
	}{
		{"Driving", func(*web.Config) {}, "ok: replica r1 of prod, drives the rollouts, DNS serial 42, confirmed 1s ago\n"},
		{"Following", func(c *web.Config) { c.Driving = nil }, "ok: replica r1 of prod, does not drive, DNS serial 42, confirmed 1s ago\n"},
		{"WithoutAnswers", func(c *web.Config) { c.DNS = func() (uint32, time.Duration, bool) { return 0, 0, false } },
			"ok: replica r1 of prod, drives the rollouts, DNS has no answers yet\n"},
		{"WithoutDNS", func(c *web.Config) { c.DNS = nil }, "ok: replica r1 of prod, drives the rollouts, serves no DNS\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := config(r)
			test.change(&cfg)
			answer, body := get(t, web.New(cfg), http.MethodGet, "/healthz")
			if answer.Code != http.StatusOK || body != test.want {
				t.Errorf("got %d %q, want 200 %q", answer.Code, body, test.want)
			}
		})
	}
}

func TestStatus_IsTheDocument(t *testing.T) {
	t.Parallel()
	r := newReader()
	h := web.New(config(r))
	for _, path := range []string{"/v1/status", "/v1/status/web"} {
		answer, body := get(t, h, http.MethodGet, path)
		if got := answer.Header().Get("Content-Type"); answer.Code != http.StatusOK || got != "application/json" {
			t.Fatalf("%s: got %d, %s", path, answer.Code, got)
		}
		var got status.Document
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		want := status.Document{Environment: "prod", At: got.At, Services: []status.Service{status.Of(r.situation)}, Replicas: got.Replicas}
		wantBody, err := json.MarshalIndent(want, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if body != string(wantBody)+"\n" {
			t.Errorf("%s: got\n%s\nwant\n%s", path, body, wantBody)
		}
	}
}

func TestStatus_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := newReader()
	answer, body := get(t, web.New(config(r)), http.MethodGet, "/v1/status/w%3Cb%3E")
	if want := `unknown service \"w\u003cb\u003e\" in environment \"prod\"; /v1/status lists them all`; answer.Code != http.StatusNotFound || !strings.Contains(body, want) {
		t.Errorf("got %d %s, want 404 with %s", answer.Code, body, want)
	}
	r.fail(away())
	answer, body = get(t, web.New(config(r)), http.MethodGet, "/v1/status")
	if want := consul.ErrUnreachable.Error(); answer.Code != http.StatusServiceUnavailable || !strings.Contains(body, want) {
		t.Errorf("got %d %s, want 503 with %s", answer.Code, body, want)
	}
}

func TestStatus_IsReadOnceForAllWhoAskWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		r.observe = func(context.Context) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}
		h := web.New(config(r))
		var asking sync.WaitGroup
		for range 50 {
			asking.Go(func() {
				if answer, _ := get(t, h, http.MethodGet, "/v1/status"); answer.Code != http.StatusOK {
					t.Errorf("got %d", answer.Code)
				}
			})
		}
		asking.Wait()
		if observed, _ := r.reads(); observed != 1 {
			t.Errorf("read %d times for 50 at once, want once", observed)
		}
		time.Sleep(time.Second)
		get(t, h, http.MethodGet, "/v1/status")
		if observed, _ := r.reads(); observed != 2 {
			t.Errorf("read %d times, want again after a second", observed)
		}
	})
}

func TestStatus_GivesUpOnAConsulThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		r.observe = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		began := time.Now()
		answer, _ := get(t, web.New(config(r)), http.MethodGet, "/v1/status")
		if took := time.Since(began); answer.Code != http.StatusServiceUnavailable || took > 5*time.Second {
			t.Errorf("got %d after %v, want 503 within 5 s", answer.Code, took)
		}
	})
}

func TestStatus_OutlivesTheOneWhoAskedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		r.observe = func(ctx context.Context) error {
			select {
			case <-time.After(100 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		h := web.New(config(r))
		gone, leave := context.WithCancel(t.Context())
		go h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, http.MethodGet, "/v1/status", nil))
		synctest.Wait()
		leave()
		if answer, body := get(t, h, http.MethodGet, "/v1/status"); answer.Code != http.StatusOK {
			t.Errorf("got %d %s", answer.Code, body)
		}
	})
}

func TestMethods_AreGetAndHeadAlone(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(web.New(config(newReader())))
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	for _, path := range []string{"/", "/healthz", "/metrics", "/v1/status", "/v1/status/web"} {
		for method, want := range map[string]int{
			http.MethodGet: http.StatusOK, http.MethodHead: http.StatusOK, http.MethodPost: http.StatusMethodNotAllowed,
			http.MethodPut: http.StatusMethodNotAllowed, http.MethodDelete: http.StatusMethodNotAllowed, "BREW": http.StatusMethodNotAllowed,
		} {
			request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := server.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			if err := errors.Join(err, answer.Body.Close()); err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != want {
				t.Errorf("%s %s: got %d, want %d", method, path, answer.StatusCode, want)
			}
			if method == http.MethodHead && len(body) > 0 {
				t.Errorf("HEAD %s has a body", path)
			}
			if allow := answer.Header.Get("Allow"); want == http.StatusMethodNotAllowed && allow != "GET, HEAD" {
				t.Errorf("%s %s: allowed are %q", method, path, allow)
			}
		}
	}
	if answer, _ := get(t, server.Config.Handler, http.MethodGet, "/nowhere"); answer.Code != http.StatusNotFound {
		t.Errorf("GET /nowhere: got %d", answer.Code)
	}
}

func TestPage_ShowsWhatIsLiveAndWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // where the clock stands still
		r := newReader()
		answer, body := get(t, web.New(config(r)), http.MethodGet, "/")
		if got := answer.Header().Get("Content-Type"); answer.Code != http.StatusOK || got != "text/html; charset=utf-8" {
			t.Fatalf("got %d, %s", answer.Code, got)
		}
		until := r.situation.Record.Deadline.Format(time.TimeOnly)
		for _, want := range []string{
			`<strong>2.3.0</strong> is live on <strong class="blue">blue</strong>`,
			`aria-label="blue 95 %, green 5 %"`,
			`<rect class="blue" x="0" width="95" height="1"/><rect class="green" x="95" width="5" height="1"/>`,
			`<li class="past">warmup</li><li class="now" aria-current="step">canary</li><li class="ahead">switching</li>`,
			`canary since 12s · waits for the analysis at 5 % · until ` + until,
			`approval ops ahead at switch: 0 of 1`,
			`<span class="bad">failing</span> GET /healthz: timeout`,
			`2.2.0 is live on green`,
			`<td>1h</td><td>alice</td>`,
			`replica r1 of prod, drives the rollouts, DNS serial 42, confirmed 1s ago`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("the page has no %q", want)
			}
		}
		if newest, oldest := strings.Index(body, "2.3.0 is live on blue"), strings.Index(body, "2.2.0 is live on green"); newest > oldest {
			t.Error("former rollouts are not the newest first")
		}
	})
}

func TestPage_ShowsWhereARolloutStopped(t *testing.T) {
	t.Parallel()
	r := newReader()
	record := r.situation.Record
	record.Phase, record.Wait, record.Deadline = rollout.Halted, nil, time.Time{}
	record.Halt = &rollout.Halt{Phase: rollout.Canary, By: "alice", Why: "errors in the log", At: record.Entered}
	_, body := get(t, web.New(config(r)), http.MethodGet, "/")
	if want := `<li class="past">warmup</li><li class="stopped" aria-current="step">canary</li><li class="ahead">switching</li>`; !strings.Contains(body, want) {
		t.Errorf("the page has no %q", want)
	}
}

func TestPage_EscapesWhatOthersSay(t *testing.T) {
	t.Parallel()
	const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}'`
	r := newReader()
	r.situation.Spec.Name, r.situation.Spec.Owner = hostile, hostile
	r.situation.Record.Wait.For, r.situation.Record.By, r.situation.Record.Version = hostile, hostile, hostile
	r.situation.Live.Why, r.situation.Live.By = hostile, hostile
	for i := range r.situation.Pools[spec.Blue] {
		in := &r.situation.Pools[spec.Blue][i]
		in.Why, in.Node, in.Version, in.Address = hostile, hostile, hostile, hostile
	}
	r.history[0].Outcome, r.history[0].By = hostile, hostile
	cfg := config(r)
	cfg.Replica = hostile
	h := web.New(cfg)
	_, body := get(t, h, http.MethodGet, "/")
	if n := strings.Count(body, "<script"); n != 1 {
		t.Errorf("%d scripts on the page, want its own alone", n)
	}
	if strings.Contains(body, "<img") || strings.Count(body, "alert(1)") < 10 {
		t.Error("what others say is markup, or is missing")
	}
	r.fail(errors.New(hostile))
	_, body = get(t, web.New(cfg), http.MethodGet, "/")
	if strings.Contains(body, "<img") || !strings.Contains(body, "Nothing is known yet: ") {
		t.Errorf("an error is markup, or is missing:\n%s", body)
	}
}

func TestPage_ShowsTheLastKnownStateWithItsAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		h := web.New(config(r))
		get(t, h, http.MethodGet, "/")
		r.fail(away())
		time.Sleep(90 * time.Second)
		answer, body := get(t, h, http.MethodGet, "/")
		if answer.Code != http.StatusServiceUnavailable {
			t.Errorf("got %d, want 503", answer.Code)
		}
		for _, want := range []string{"What is shown is 1m30s old: ", "Consul can&#39;t be reached", "2.3.0</strong> is live"} {
			if !strings.Contains(body, want) {
				t.Errorf("the page has no %q", want)
			}
		}
	})
}

func TestPage_ReadsTheHistoryOnlyWhenItHasGrown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		h := web.New(config(r))
		for range 3 {
			get(t, h, http.MethodGet, "/")
			time.Sleep(2 * time.Second)
		}
		if _, listed := r.reads(); listed != 1 {
			t.Errorf("read %d times while nothing ended, want once", listed)
		}
		ended := *r.situation.Record
		ended.Phase, ended.Outcome = rollout.Failed, "analysis failed"
		r.mu.Lock()
		r.situation.Record, r.history = &ended, append(r.history, &ended)
		r.mu.Unlock()
		if _, body := get(t, h, http.MethodGet, "/"); strings.Count(body, "analysis failed") != 2 {
			t.Error("the rollout that ended is not among the former ones")
		}
	})
}

func TestHeaders_LetBrowsersDoNothingElse(t *testing.T) {
	t.Parallel()
	h := web.New(config(newReader()))
	nonces := make(map[string]bool)
	for range 2 {
		answer, body := get(t, h, http.MethodGet, "/")
		policy := answer.Header().Get("Content-Security-Policy")
		m := regexp.MustCompile(`^default-src 'none'; script-src 'nonce-(\w{20,})'; style-src 'nonce-(\w{20,})'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$`).FindStringSubmatch(policy)
		if m == nil {
			t.Fatalf("policy is %q", policy)
		}
		for _, tag := range []string{"script", "style"} {
			if !strings.Contains(body, fmt.Sprintf("<%s nonce=%q>", tag, m[1])) {
				t.Errorf("the %s does not carry the policy's nonce", tag)
			}
		}
		nonces[m[1]] = true
		if strings.Contains(body, " style=") || strings.Contains(body, "src=") {
			t.Error("the page has what its own policy forbids")
		}
	}
	if len(nonces) != 2 {
		t.Error("two pages have the same nonce")
	}
	for _, path := range []string{"/healthz", "/metrics", "/v1/status", "/nowhere"} {
		answer, _ := get(t, h, http.MethodGet, path)
		for header, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff",
			"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := answer.Header().Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", path, header, got, want)
			}
		}
	}
}

// metrics gives the lines of switchd's own metrics.
func metrics(t *testing.T, h http.Handler) string {
	t.Helper()
	answer, body := get(t, h, http.MethodGet, "/metrics")
	if answer.Code != http.StatusOK {
		t.Fatalf("got %d: %s", answer.Code, body)
	}
	var lines []string
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "switchd_") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestMetrics_TellOfTheRollout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // where the clock stands still
		cfg := config(newReader())
		got := metrics(t, web.New(cfg))
		const want = `switchd_consul_up 1
switchd_driving 1
switchd_live_generation{service="web"} 7
switchd_pool_passing_nodes{pool="blue",service="web"} 1
switchd_pool_passing_nodes{pool="green",service="web"} 1
switchd_pool_quorum_nodes{pool="blue",service="web"} 1
switchd_pool_quorum_nodes{pool="green",service="web"} 1
switchd_pool_share_percent{pool="blue",service="web"} 95
switchd_pool_share_percent{pool="green",service="web"} 5
switchd_rollout_deadline_seconds{service="web"} 48
switchd_rollout_phase{phase="baking",service="web"} 0
switchd_rollout_phase{phase="canary",service="web"} 1
switchd_rollout_phase{phase="converging",service="web"} 0
switchd_rollout_phase{phase="done",service="web"} 0
switchd_rollout_phase{phase="draining",service="web"} 0
switchd_rollout_phase{phase="failed",service="web"} 0
switchd_rollout_phase{phase="halted",service="web"} 0
switchd_rollout_phase{phase="queued",service="web"} 0
switchd_rollout_phase{phase="rolledback",service="web"} 0
switchd_rollout_phase{phase="rolling",service="web"} 0
switchd_rollout_phase{phase="smoke",service="web"} 0
switchd_rollout_phase{phase="staging",service="web"} 0
switchd_rollout_phase{phase="switching",service="web"} 0
switchd_rollout_phase{phase="warmup",service="web"} 0
switchd_rollout_wait_seconds{reason="analysis",service="web"} 12
`
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestMetrics_InventNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		h := web.New(config(r))
		metrics(t, h)
		r.fail(away())
		time.Sleep(2 * time.Second)
		if got, want := metrics(t, h), "switchd_consul_up 0\nswitchd_driving 1\n"; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestMetrics_HaveThoseOfTheProcess(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "switchd_tests_total", Help: "Tests."})
	registry.MustRegister(counter)
	counter.Inc()
	cfg := config(newReader())
	cfg.Gatherer = registry
	h := web.New(cfg)
	for range 2 { // scraping again must not register again
		got := metrics(t, h)
		if !strings.Contains(got, "switchd_tests_total 1\n") || !strings.Contains(got, "switchd_consul_up 1\n") {
			t.Errorf("got\n%s", got)
		}
	}
}
