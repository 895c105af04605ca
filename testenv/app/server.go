package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// shutdownGrace is how long requests in flight may take when the app ends.
const shutdownGrace = 5 * time.Second

// errExit ends the app as --exit-after wants.
var errExit = errors.New("exit as wanted by --exit-after")

// serve answers requests until ctx ends or a crash was ordered.
func serve(ctx context.Context, cfg Config, log *slog.Logger) error {
	server := &http.Server{
		Handler:           newHandler(cfg, time.Now()),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.InfoContext(ctx, "serving", "addr", listener.Addr().String(), "version", cfg.Version)

	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	var exit <-chan time.Time
	if cfg.ExitAfter > 0 {
		exit = time.After(cfg.ExitAfter)
	}
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-exit:
		return errors.Join(errExit, server.Close())
	case <-ctx.Done():
	}
	log.InfoContext(ctx, "ending", "version", cfg.Version)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("end requests in flight: %w", err)
	}
	return nil
}

// newHandler returns the app's answers. Only / counts in the metrics and gets
// the faults: what asks for health and metrics isn't a user.
func newHandler(cfg Config, start time.Time) http.Handler {
	app := &app{cfg: cfg, faults: &faults{
		rate: cfg.ErrorRate, latency: cfg.Latency, cold: cfg.ColdStart, start: start,
	}}
	registry := prometheus.NewRegistry()
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "http_requests_total", Help: "Requests answered.",
	}, []string{"code", "method"})
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "Time from a request to its answer.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, nil)
	inFlight := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "http_requests_in_flight", Help: "Requests being answered.",
	})
	registry.MustRegister(requests, durations, inFlight,
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())

	mux := http.NewServeMux()
	mux.Handle("/", promhttp.InstrumentHandlerInFlight(inFlight,
		promhttp.InstrumentHandlerDuration(durations,
			promhttp.InstrumentHandlerCounter(requests, http.HandlerFunc(app.root)))))
	mux.HandleFunc("GET /healthz", app.health)
	mux.HandleFunc("GET /version", app.version)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-App-Version", cfg.Version)
		mux.ServeHTTP(w, r)
	})
}

// app answers requests.
type app struct {
	cfg    Config
	faults *faults
}

func (a *app) root(w http.ResponseWriter, r *http.Request) {
	fails := a.faults.fails()
	select {
	case <-time.After(a.faults.delay(time.Now())):
	case <-r.Context().Done():
		return
	}
	burn(a.cfg.Burn)
	if fails {
		http.Error(w, "an error on purpose", http.StatusInternalServerError)
		return
	}
	text(w, fmt.Sprintf("version %s on %s\n", a.cfg.Version, a.cfg.Node))
}

func (a *app) health(w http.ResponseWriter, _ *http.Request) {
	if a.cfg.Unhealthy {
		http.Error(w, "unhealthy on purpose", http.StatusServiceUnavailable)
		return
	}
	text(w, "ok\n")
}

func (a *app) version(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	// An error here means that the client has gone.
	_ = json.NewEncoder(w).Encode(map[string]string{"version": a.cfg.Version, "node": a.cfg.Node})
}

func text(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	// An error here means that the client has gone.
	_, _ = w.Write([]byte(body))
}
