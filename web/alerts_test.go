package web_test

import (
	"io"
	"net/http"
	"testing"

	"switchd/web"
)

// taker answers each request with its method and path.
func taker() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, bounded := r.Context().Deadline(); !bounded {
			http.Error(w, "without a deadline", http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path)
	})
}

func TestAlerts_AreLedToTheirHandler(t *testing.T) {
	t.Parallel()
	cfg := config(newReader())
	if answer, _ := get(t, web.New(cfg), http.MethodPost, "/v1/alerts"); answer.Code != http.StatusNotFound {
		t.Errorf("without a handler: got %d", answer.Code)
	}
	cfg.Alerts = taker()
	for name, h := range map[string]http.Handler{"beside the pages": web.New(cfg), "alone": web.OnlyAlerts(taker())} {
		answer, body := get(t, h, http.MethodPost, "/v1/alerts")
		if answer.Code != http.StatusOK || body != "POST /v1/alerts" || answer.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d %q %v", name, answer.Code, body, answer.Header())
		}
	}
	for _, path := range []string{"/", "/metrics", "/v1/status", "/v1/artifacts/x", "/v1/alerts/x"} {
		if answer, _ := get(t, web.OnlyAlerts(taker()), http.MethodGet, path); answer.Code != http.StatusNotFound {
			t.Errorf("alone, %s: got %d", path, answer.Code)
		}
	}
}
