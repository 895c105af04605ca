// Package web is what `switchd serve` answers over HTTP: its health, its
// metrics, the status as JSON and as a page, the artifacts, and what takes
// alerts. It only shows; it decides and changes nothing.
package web

import (
	"context"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/rollout"
	"switchd/status"
)

// Reader is what is shown. A status.Ledger is one.
type Reader interface {
	status.Reader
	// History lists a service's ended rollouts, the oldest first.
	History(ctx context.Context, service string) ([]*rollout.Record, error)
}

var _ Reader = status.Ledger{}

// Config says what a replica shows.
type Config struct {
	Ledger Reader
	// Replica is this replica's name.
	Replica string
	// Driving tells whether this replica drives the rollouts; nil: never.
	Driving func() bool
	// DNS tells the zone's serial and the age of the answers, false before
	// there are any; nil: this replica serves no DNS.
	DNS func() (serial uint32, age time.Duration, ok bool)
	// Artifacts serves what is below /v1/artifacts/; nil: nothing.
	Artifacts http.Handler
	// Alerts takes what is sent to /v1/alerts; nil: nothing.
	Alerts http.Handler
	// Gatherer has the metrics of the process; nil: only those of the
	// rollouts are told.
	Gatherer prometheus.Gatherer
	// Log is where the server writes; nil: slog.Default().
	Log *slog.Logger
}

// New returns the handler of a replica:
//
//	GET /                     the status page
//	GET /healthz              200 as long as the process serves
//	GET /metrics              for Prometheus
//	GET /v1/status            what `switchd status --json` prints
//	GET /v1/status/{service}  the same of one service
//	    /v1/artifacts/        Config.Artifacts
//	    /v1/alerts            Config.Alerts
//
// HEAD is answered where GET is, anything else with 405.
func New(cfg Config) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Driving == nil {
		cfg.Driving = func() bool { return false }
	}
	s := &site{Config: cfg, now: newMemo(cfg.Ledger), past: newPast(cfg.Ledger), page: parsePage()}

	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", s.servePage)
	pages.HandleFunc("GET /healthz", s.serveHealth)
	pages.HandleFunc("GET /metrics", s.serveMetrics)
	pages.HandleFunc("GET /v1/status", s.serveStatus)
	pages.HandleFunc("GET /v1/status/{service}", s.serveStatus)

	all := http.NewServeMux()
	all.Handle("/", bounded(pages))
	if cfg.Artifacts != nil {
		all.Handle("/v1/artifacts/", transfer(cfg.Artifacts))
	}
	if cfg.Alerts != nil {
		all.Handle("/v1/alerts", bounded(cfg.Alerts))
	}
	return secured(all)
}

// OnlyAlerts returns the handler of a listener that is for alerts and nothing
// else.
func OnlyAlerts(alerts http.Handler) http.Handler {
	all := http.NewServeMux()
	all.Handle("/v1/alerts", bounded(alerts))
	return secured(all)
}

// site is one replica's pages.
type site struct {
	Config

	now  *memo
	past *past
	page *template.Template
}

// requestTime is how long a request may take that is not for an artifact.
const requestTime = 15 * time.Second

// bounded ends a request that takes too long, to be sent or to be answered.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, end := http.NewResponseController(w), time.Now().Add(requestTime)
		// They fail on a connection that is gone, which is found out anyway.
		_ = conn.SetReadDeadline(end)
		_ = conn.SetWriteDeadline(end)
		ctx, cancel := context.WithDeadline(r.Context(), end)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// secured tells browsers to let nobody embed, guess at or keep what is shown.
// Source: https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
