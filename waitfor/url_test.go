package waitfor_test

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
	"switchd/spec"
	"switchd/waitfor"
)

// asking is a wait for a URL that is tried often.
func asking(url string) waitfor.Wait {
	return waitfor.Wait{
		For:  spec.WaitFor{Name: "ready", URL: url, Status: http.StatusOK, Every: spec.Duration(20 * time.Millisecond), Timeout: spec.Duration(5 * time.Second)},
		Vars: spec.Vars{Service: "web", Pool: "green", Version: "2.0.0"},
	}
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func TestWatch_AsksAURLAgainAfterItHasPassed(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	status.Store(http.StatusServiceUnavailable)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/web/2.0.0/green" {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		w.WriteHeader(int(status.Load()))
	})
	r := watch(t, asking(server.URL+"/{{service}}/{{version}}/{{pool}}"))
	url := server.URL + "/web/2.0.0/green"
	r.next(t, gate.Unknown, url+" is asked for the first time, for 5s at most")
	r.next(t, gate.Unknown, url+" answers 503, and must answer 200")
	status.Store(http.StatusOK)
	r.next(t, gate.Pass, url+" answers 200")
	status.Store(http.StatusNotFound)
	r.next(t, gate.Unknown, url+" answers 404, and must answer 200")
	server.Close()
	r.await(t, gate.Unknown, url+" does not answer: ")
}

func TestWatch_JudgesWhatAURLAnswers(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/ready", http.StatusFound)
		case "/huge":
			_, _ = fmt.Fprint(w, "ready", strings.Repeat(" ", 1<<20))
		case "/large":
			_, _ = fmt.Fprint(w, "ready", strings.Repeat(" ", 1<<20-len("ready")))
		case "/torn":
			w.Header().Set("Content-Length", "100")
			_, _ = fmt.Fprint(w, "ready")
		case "/secret":
			user, password, _ := r.BasicAuth()
			_, _ = fmt.Fprint(w, user, " ", password)
		default:
			_, _ = fmt.Fprint(w, "ready: 2.0.0\nin 3 s\x00")
		}
	})
	for name, c := range map[string]struct {
		path, body string
		status     int
		outcome    gate.Outcome
		why        string
	}{
		"WithTheStatus":            {"/ready", "", 200, gate.Pass, server.URL + "/ready answers 200"},
		"WithTheBody":              {"/ready", `ready: {{version}}\n`, 200, gate.Pass, server.URL + `/ready answers 200, and its body matches "ready: 2\\.0\\.0\\n"`},
		"WithAnotherBody":          {"/ready", `ready: 2.0.0$`, 200, gate.Unknown, server.URL + `/ready answers 200, but its body does not match "ready: 2.0.0$"; it begins with "ready: 2.0.0\nin 3 s\x00"`},
		"WithARedirect":            {"/moved", "ready", 200, gate.Unknown, server.URL + `/moved answers 302, and must answer 200; redirects are not followed, this one leads to "/ready"`},
		"WithARedirectAsTheAnswer": {"/moved", "", 302, gate.Pass, server.URL + "/moved answers 302"},
		"WithTooLongABody":         {"/huge", "ready", 200, gate.Unknown, server.URL + "/huge answers with more than 1048576 bytes, of which none are looked at"},
		"WithALongBody":            {"/large", "^ready *$", 200, gate.Pass, server.URL + `/large answers 200, and its body matches "^ready *$"`},
		"WithHalfOfABody":          {"/torn", "ready", 200, gate.Unknown, server.URL + "/torn breaks off its answer: unexpected EOF"},
		"WithABodyThatIsNoPattern": {"/ready", "(", 200, gate.Unknown, `the body of wait "ready": error parsing regexp: missing closing )`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := asking(server.URL + c.path)
			w.For.Body, w.For.Status = c.body, c.status
			v := watch(t, w).await(t, c.outcome, c.why)
			if !strings.HasPrefix(v.Why, c.why) || strings.HasPrefix(c.why, "http") && v.Why != c.why {
				t.Errorf("got %s\nwant %s", v.Why, c.why)
			}
		})
	}
}

func TestWatch_ShowsNoPassword(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "switchd" || password != "hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	address := strings.Replace(server.URL, "http://", "http://switchd:hunter2@", 1)
	r := watch(t, asking(address))
	for _, outcome := range []gate.Outcome{gate.Unknown, gate.Pass} {
		if v := r.await(t, outcome, "switchd:xxxxx@"); strings.Contains(v.Why, "hunter2") {
			t.Errorf("it tells the password: %s", v.Why)
		}
	}
	server.Close()
	if v := r.await(t, gate.Unknown, "does not answer"); strings.Contains(v.Why, "hunter2") {
		t.Errorf("it tells the password: %s", v.Why)
	}
	watch(t, asking("http://switchd:hunter2@[::1")).next(t, gate.Unknown, `the url of wait "ready" is none with http:// or https:// and a host`)
}

func TestWatch_WaitsForAnAnswerNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	var listen net.ListenConfig
	silent, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	w := asking("http://" + silent.Addr().String())
	w.For.Timeout = spec.Duration(100 * time.Millisecond)
	watch(t, w).await(t, gate.Unknown, "does not answer: 100ms are over")
}

func TestWatch_EndsWhileItAsks(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	release := make(chan struct{})
	defer close(release)
	server := serve(t, func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan []gate.Verdict)
	go func() {
		var all []gate.Verdict
		asking(server.URL).Watch(ctx, func(v gate.Verdict) { all = append(all, v) })
		ended <- all
	}()
	<-asked
	cancel()
	if all := <-ended; len(all) != 1 || !strings.Contains(all[0].Why, "for the first time") {
		t.Errorf("its end was reported: %+v", all)
	}
	release <- struct{}{}
}
