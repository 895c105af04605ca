package smoke_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchd/gate"
	"switchd/smoke"
	"switchd/spec"
)

// serve starts a real server and returns it as a target. It is closed when the
// test ends.
func serve(t *testing.T, h http.HandlerFunc) smoke.Target {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return smoke.Target{Name: "web-g2", URL: srv.URL, Addr: "10.0.0.2:8080"}
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

func check() spec.Smoke {
	return spec.Smoke{Name: "version", Method: "GET", Path: "/version", Status: 200, Timeout: spec.Duration(5 * time.Second)}
}

func run(t *testing.T, c spec.Smoke, vars spec.Vars, targets ...smoke.Target) gate.Verdict {
	t.Helper()
	return smoke.Run(t.Context(), []spec.Smoke{c}, vars, targets)
}

func wantVerdict(t *testing.T, v gate.Verdict, outcome gate.Outcome, why string) {
	t.Helper()
	if v.Outcome != outcome || !strings.Contains(v.Why, why) {
		t.Errorf("got %s: %s\nwant %s: …%s…\nevidence: %s", v.Outcome, v.Why, outcome, why, strings.Join(v.Evidence, "\n"))
	}
}

func TestRun_PassesWhenEveryTargetAnswersAsWanted(t *testing.T) {
	t.Parallel()
	h := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"version":"1.2.3","host":%q,"who":%q}`, r.Host, r.Header.Get("X-Asked-By"))
	}
	one, two := serve(t, h), serve(t, h)
	one.Host = "web.apps.test"
	c := check()
	c.Headers = map[string]string{"X-Asked-By": "{{node}}"}
	c.WantHeader = map[string]string{"content-type": "json$"}
	c.WantBody = `"version":"{{version}}"`
	v := run(t, c, spec.Vars{Version: "1.2.3"}, one, two)
	wantVerdict(t, v, gate.Pass, "every smoke check passed (2 of 2)")

	c.WantBody = `"host":"web\.apps\.test","who":"web-g2"`
	wantVerdict(t, run(t, c, spec.Vars{}, one), gate.Pass, "")
	wantVerdict(t, run(t, c, spec.Vars{}, two), gate.Fail, "expected it to match")
}

func TestRun_NamesWhatWasGotAndWhatWasExpected(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		handler http.HandlerFunc
		change  func(*spec.Smoke)
		why     string
	}{
		"status": {
			answer(500, ""),
			func(c *spec.Smoke) { c.Retries = 2 },
			`smoke "version" on web-g2 (10.0.0.2:8080): GET /version answered 500, expected 200, after 3 tries`,
		},
		"redirect": {
			func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
			},
			func(*spec.Smoke) {},
			`GET /version answered 302 to "/elsewhere", expected 200`,
		},
		"missing header": {
			answer(200, ""),
			func(c *spec.Smoke) { c.WantHeader = map[string]string{"X-Version": "."} },
			`GET /version answered without the header X-Version, expected it to match "."`,
		},
		"wrong header": {
			answer(200, "plain"),
			func(c *spec.Smoke) { c.WantHeader = map[string]string{"Content-Type": "json"} },
			`GET /version answered the header Content-Type: "text/plain; charset=utf-8", expected it to match "json"`,
		},
		"wrong body": {
			answer(200, "1x2"),
			func(c *spec.Smoke) { c.WantBody = "{{version}}" },
			`GET /version answered the body "1x2", expected it to match "1\\.2"`,
		},
		"slow": {
			func(w http.ResponseWriter, _ *http.Request) { time.Sleep(30 * time.Millisecond); w.WriteHeader(200) },
			func(c *spec.Smoke) { c.MaxLatency = spec.Duration(10 * time.Millisecond) },
			`, expected at most 10ms`,
		},
		"hanging": {
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			func(c *spec.Smoke) { c.Timeout = spec.Duration(50 * time.Millisecond); c.Retries = 1 },
			`GET /version got no answer: timed out after 50ms, expected 200, after 2 tries`,
		},
		"hanging body": {
			func(w http.ResponseWriter, r *http.Request) {
				_, _ = fmt.Fprint(w, "beginning")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			},
			func(c *spec.Smoke) { c.Timeout = spec.Duration(100 * time.Millisecond) },
			`GET /version answered 200, but its body broke off after 9 bytes: timed out after 100ms`,
		},
		"torn body": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				_, _ = fmt.Fprint(w, "beginning")
			},
			func(*spec.Smoke) {},
			`its body broke off after 9 bytes: unexpected EOF`,
		},
		"body after the first MiB": {
			answer(200, strings.Repeat("x", 1<<20)+"needle"),
			func(c *spec.Smoke) { c.WantBody = "needle" },
			`(only its first MiB is looked at), expected it to match "needle"`,
		},
		"wrong expression": {
			answer(200, ""),
			func(c *spec.Smoke) { c.WantBody = "(" },
			`smoke "version": want_body is no regular expression`,
		},
		"wrong header expression": {
			answer(200, ""),
			func(c *spec.Smoke) { c.WantHeader = map[string]string{"Server": "["} },
			`smoke "version": want_header Server is no regular expression`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := check()
			tt.change(&c)
			v := run(t, c, spec.Vars{Version: "1.2"}, serve(t, tt.handler))
			wantVerdict(t, v, gate.Fail, tt.why)
		})
	}
}

func TestRun_RetriesUntilTheAnswerIsRight(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	c := check()
	c.Retries = 4
	c.RetryWait = spec.Duration(time.Millisecond)
	v := run(t, c, spec.Vars{}, target)
	wantVerdict(t, v, gate.Pass, "")
	if got := asked.Load(); got != 3 {
		t.Errorf("asked %d times, want 3", got)
	}
	if want := `smoke "version" on web-g2 (10.0.0.2:8080): passed, after 3 tries`; v.Evidence[0] != want {
		t.Errorf("evidence %q, want %q", v.Evidence[0], want)
	}
}

func TestRun_AsksOverANewConnectionEachTime(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(answer(200, ""))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	checks := []spec.Smoke{check(), check(), check()}
	v := smoke.Run(t.Context(), checks, spec.Vars{}, []smoke.Target{{Name: "n", URL: srv.URL}}, smoke.Concurrency(1))
	wantVerdict(t, v, gate.Pass, "")
	if got := conns.Load(); got != 3 {
		t.Errorf("%d connections for 3 checks", got)
	}
}

func TestRun_FailsForATargetThatRefusesConnections(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(nil)
	srv.Close()
	good := serve(t, answer(200, ""))
	v := run(t, check(), spec.Vars{}, good, smoke.Target{Name: "gone", URL: srv.URL})
	wantVerdict(t, v, gate.Fail, `smoke "version" on gone (127.0.0.1:`)
	wantVerdict(t, v, gate.Fail, `GET /version got no answer: dial tcp`)
	if len(v.Evidence) != 2 || !strings.Contains(v.Evidence[0], "gone") || !strings.HasSuffix(v.Evidence[1], "passed") {
		t.Errorf("evidence %q", v.Evidence)
	}
}

func TestRun_IsUnknownWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 1)
	hanging := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	v := smoke.Run(ctx, []spec.Smoke{check()}, spec.Vars{}, []smoke.Target{hanging})
	wantVerdict(t, v, gate.Unknown, "the smoke test was ended (context canceled) after 0 of 1 checks")
}

func TestRun_IsUnknownWhenItsContextEndsBetweenRetries(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		time.AfterFunc(50*time.Millisecond, cancel)
	})
	c := check()
	c.Retries, c.RetryWait = 3, spec.Duration(time.Hour)
	v := smoke.Run(ctx, []spec.Smoke{c}, spec.Vars{}, []smoke.Target{target})
	wantVerdict(t, v, gate.Unknown, "the smoke test was ended")
	if !strings.Contains(v.Evidence[0], "not finished, at last: GET /version answered 500") {
		t.Errorf("evidence %q", v.Evidence)
	}
}

func TestRun_IsUnknownWithoutAnythingToCheck(t *testing.T) {
	t.Parallel()
	wantVerdict(t, run(t, check(), spec.Vars{}), gate.Unknown, "no target")
	v := smoke.Run(t.Context(), nil, spec.Vars{}, []smoke.Target{{Name: "n"}})
	wantVerdict(t, v, gate.Unknown, "no smoke check")
}

func TestRun_IsUnknownWithAnEndedContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := smoke.Run(ctx, []spec.Smoke{check()}, spec.Vars{}, []smoke.Target{serve(t, answer(200, ""))})
	wantVerdict(t, v, gate.Unknown, "after 0 of 1 checks")
}

func TestRun_BoundsItsEvidence(t *testing.T) {
	t.Parallel()
	target := serve(t, answer(404, ""))
	checks := make([]spec.Smoke, 60)
	for i := range checks {
		checks[i] = check()
	}
	v := smoke.Run(t.Context(), checks, spec.Vars{}, []smoke.Target{target})
	wantVerdict(t, v, gate.Fail, "and 59 more of 60 checks failed")
	if len(v.Evidence) != 51 || v.Evidence[50] != "and 10 more" {
		t.Errorf("%d lines of evidence, the last %q", len(v.Evidence), v.Evidence[len(v.Evidence)-1])
	}
}
