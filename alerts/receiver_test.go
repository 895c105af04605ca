package alerts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/alerts"
	"switchd/rollout"
	"switchd/spec"
)

// bench is a receiver whose halter has one rollout in memory.
type bench struct {
	*httptest.Server

	book *book
	// requests has the context of each request, as far as there is room.
	requests chan context.Context
	metrics  *prometheus.Registry
	log      *bytes.Buffer
	mu       *sync.Mutex
}

// Write implements io.Writer, for the log.
func (b bench) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func (b bench) logged() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

func newBench(t *testing.T, tokens string) bench {
	t.Helper()
	declared := service("web")
	b := bench{book: newBook(declared), requests: make(chan context.Context, 1), metrics: prometheus.NewRegistry(), log: new(bytes.Buffer), mu: new(sync.Mutex)}
	log := slog.New(slog.NewTextHandler(b, nil))
	h := &alerts.Halter{Rollouts: b.book, Log: log, Metrics: alerts.NewMetrics(b.metrics)}
	if err := h.Know(spec.Environment{Name: "prod"}, declared); err != nil {
		t.Fatal(err)
	}
	var accepted alerts.Tokens
	if tokens != "" {
		var err error
		if accepted, err = alerts.ParseTokens(strings.NewReader(tokens), "tokens"); err != nil {
			t.Fatal(err)
		}
	}
	receiver := alerts.NewReceiver(h, accepted, log)
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case b.requests <- r.Context():
		default:
		}
		receiver.ServeHTTP(w, r)
	}))
	t.Cleanup(b.Close)
	for _, operation := range []func(rollout.Situation) (*rollout.Change, error){promote, to(rollout.Canary)} {
		if _, err := b.book.Do(t.Context(), "web", "test", operation); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// told is the answer to a webhook.
type told struct {
	Error    string           `json:"error"`
	Received int              `json:"received"`
	Effects  map[string]int   `json:"effects"`
	Outcomes []alerts.Outcome `json:"outcomes"`
	LeftOff  int              `json:"left_off"`
}

func (b bench) send(t *testing.T, method, authorization string, body io.Reader) (int, told) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, b.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := b.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the answer is %s", got)
	}
	var answer told
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return response.StatusCode, answer
}

func (b bench) phase() rollout.Phase {
	b.book.mu.Lock()
	defer b.book.mu.Unlock()
	return b.book.s.Record.Phase
}

func TestReceiver_HaltsAndTellsWhatItDid(t *testing.T) {
	t.Parallel()
	b := newBench(t, token)
	a := alert("web", time.Now())
	body := payload(t, a, alert("shop", time.Now()), resolved(alert("shop", time.Now())))
	body = bytes.Replace(body, []byte(`"alerts":[`), []byte(`"alerts":[{},`), 1)
	status, answer := b.send(t, http.MethodPost, "Bearer "+token, bytes.NewReader(body))
	if status != http.StatusOK {
		t.Fatalf("got %d: %+v", status, answer)
	}
	first := alerts.Outcome{Alert: "HighErrorRate", ID: a.ID(), Service: "web", Effect: alerts.Halted}
	if answer.Received != 4 || answer.Effects["halted"] != 1 || answer.Effects["no_service"] != 2 || answer.Effects["unreadable"] != 1 || answer.Outcomes[0] != first {
		t.Errorf("got %+v", answer)
	}
	if b.phase() != rollout.Halted {
		t.Errorf("the rollout is in %s", b.phase())
	}
	for effect, want := range map[string]float64{"halted": 1, "no_service": 2, "unreadable": 1, "failed": 0} {
		if got := metric(t, b.metrics, "switchd_alerts_total", "effect", effect, "source", "alertmanager", "way", "webhook"); got != want {
			t.Errorf("effect %s was counted %v times, want %v", effect, got, want)
		}
	}
}

func TestReceiver_TakesGrafanasPayloadAndNoMissingDataForBad(t *testing.T) {
	t.Parallel()
	b := newBench(t, token)
	now := []byte(time.Now().Add(time.Second).Format(time.RFC3339Nano))
	body := file(t, "grafana.json")
	for _, then := range []string{"2026-03-04T11:51:03.157076+02:00", "2026-03-04T11:56:03.157076+02:00"} {
		body = bytes.ReplaceAll(body, []byte(then), now)
	}
	noData := bytes.ReplaceAll(body, []byte(`"alertname": "Checkout is slow"`), []byte(`"alertname": "DatasourceError"`))
	if _, answer := b.send(t, http.MethodPost, "Bearer "+token, bytes.NewReader(noData)); answer.Effects["no_evidence"] != 2 || b.phase() != rollout.Canary {
		t.Errorf("got %+v, phase %s", answer, b.phase())
	}
	if _, answer := b.send(t, http.MethodPost, "Bearer "+token, bytes.NewReader(body)); answer.Effects["no_evidence"] != 1 || answer.Effects["halted"] != 1 {
		t.Errorf("got %+v", answer)
	}
	if r := b.book.s.Record; r.Halt.By != "alert Checkout is slow" || !strings.Contains(r.Halt.Why, "grafana, receiver rollouts of prod") {
		t.Errorf("halt %+v", r.Halt)
	}
}

func TestReceiver_RefusesEverythingElse(t *testing.T) {
	t.Parallel()
	b, off := newBench(t, token), newBench(t, "")
	firing := payload(t, alert("web", time.Now()))
	for _, c := range []struct {
		name, method, authorization string
		bench                       bench
		body                        []byte
		status                      int
		want                        string
	}{
		{"Off", http.MethodPost, "Bearer " + token, off, firing, http.StatusForbidden, "--alerts-token-file"},
		{"OffWithAnEmptyToken", http.MethodPost, "Bearer ", off, firing, http.StatusForbidden, "--alerts-token-file"},
		{"WithoutAToken", http.MethodPost, "", b, firing, http.StatusUnauthorized, "bearer token"},
		{"WithAWrongToken", http.MethodPost, "Bearer " + another, b, firing, http.StatusUnauthorized, "bearer token"},
		{"WithATokenAsPassword", http.MethodPost, "Basic " + token, b, firing, http.StatusUnauthorized, "bearer token"},
		{"Get", http.MethodGet, "Bearer " + token, b, nil, http.StatusMethodNotAllowed, "POST"},
		{"Put", http.MethodPut, "Bearer " + token, b, firing, http.StatusMethodNotAllowed, "POST"},
		{"Garbage", http.MethodPost, "Bearer " + token, b, []byte("\x00{"), http.StatusBadRequest, "invalid character"},
		{"Empty", http.MethodPost, "Bearer " + token, b, nil, http.StatusBadRequest, "unexpected end"},
		{"Huge", http.MethodPost, "Bearer " + token, b, append(firing, bytes.Repeat([]byte(" "), 4<<20)...), http.StatusRequestEntityTooLarge, "4 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status, answer := c.bench.send(t, c.method, c.authorization, bytes.NewReader(c.body))
			if status != c.status || !strings.Contains(answer.Error, c.want) {
				t.Errorf("got %d: %+v, want %d and %q", status, answer, c.status, c.want)
			}
			if c.bench.phase() != rollout.Canary {
				t.Errorf("the rollout is in %s", c.bench.phase())
			}
			if log := c.bench.logged(); strings.Contains(log, token) || strings.Contains(log, another) {
				t.Errorf("a token was logged: %s", log)
			}
		})
	}
	t.Cleanup(func() { // after the parallel ones
		if !strings.Contains(off.logged(), "--alerts-token-file") {
			t.Errorf("the log doesn't say how to switch it on: %s", off.logged())
		}
	})
}

func TestReceiver_TakesAThousandAlertsInABody(t *testing.T) {
	t.Parallel()
	b := newBench(t, token)
	var many []alerts.Alert
	for range 1000 {
		a := alert("web", time.Now())
		a.GeneratorURL = "http://prometheus.apps.test/graph?" + strings.Repeat("x", 2000)
		many = append(many, a)
	}
	status, answer := b.send(t, http.MethodPost, "Bearer "+token, bytes.NewReader(payload(t, many...)))
	if status != http.StatusOK || answer.Received != 1000 || len(answer.Outcomes) != 100 || answer.LeftOff != 900 || answer.Effects["halted"] != 1 || answer.Outcomes[0].Effect != alerts.Halted {
		t.Errorf("got %d: received %d, %d outcomes, %d left off, %v", status, answer.Received, len(answer.Outcomes), answer.LeftOff, answer.Effects)
	}
}

func TestReceiver_AsksToBeToldAgain(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*alerts.Halter) error{
		"the desired state could not be read": func(*alerts.Halter) error { return nil },
		"could not take effect":               func(h *alerts.Halter) error { return h.Know(spec.Environment{Name: "prod"}, service("web")) },
	} {
		h := &alerts.Halter{Rollouts: away{}, Log: discard()}
		if err := prepare(h); err != nil {
			t.Fatal(err)
		}
		tokens, err := alerts.ParseTokens(strings.NewReader(token), "tokens")
		if err != nil {
			t.Fatal(err)
		}
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/alerts", bytes.NewReader(payload(t, alert("web", time.Now()))))
		request.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		alerts.NewReceiver(h, tokens, discard()).ServeHTTP(answer, request)
		if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), name) {
			t.Errorf("got %d %s, want 503 and %q", answer.Code, answer.Body, name)
		}
	}
}

// A sender that doesn't send what it has promised is not waited for.
func TestReceiver_GivesUpOnASlowBody(t *testing.T) {
	t.Parallel()
	b := newBench(t, token)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	began := time.Now()
	if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\n{", token); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(began.Add(9 * time.Second))
	answer := make([]byte, 100)
	n, err := conn.Read(answer)
	if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 408 ") {
		t.Errorf("after %s: %q, %v", time.Since(began), answer[:n], err)
	}
}

// What has arrived counts, though its sender may not wait for the answer.
func TestReceiver_ActsForASenderThatGoesAway(t *testing.T) {
	t.Parallel()
	b := newBench(t, token)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := make(chan struct{})
	b.book.asked = asked
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL, bytes.NewReader(payload(t, alert("web", time.Now()))))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	go func() {
		if response, err := b.Client().Do(request); err == nil {
			_ = response.Body.Close()
		}
	}()
	// The receiver has read the body, and its sender is gone.
	<-asked
	cancel()
	<-(<-b.requests).Done()
	<-asked
	b.Close() // waits for what is under way
	if b.phase() != rollout.Halted {
		t.Errorf("the rollout is in %s", b.phase())
	}
}
