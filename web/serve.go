package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Bounds of a connection. What a request may take is up to its handler, since
// an artifact takes longer than a page.
const (
	headerTime = 5 * time.Second
	idleTime   = 2 * time.Minute
	// maxHeader has room for the manifest of an uploaded artifact.
	maxHeader = 64 << 10
)

// GraceTime is how long requests under way may still take when serving ends.
const GraceTime = 5 * time.Second

// Serve serves on the listener until ctx ends, lets the requests under way
// finish for GraceTime, and cuts off the others. It closes the listener. The
// error is nil unless serving ended by itself.
func Serve(ctx context.Context, listener net.Listener, h http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return errors.Join(fmt.Errorf("serve HTTP on %s: %w", listener.Addr(), err), server.Close())
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), GraceTime)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		log.WarnContext(ctx, "requests cut off", "after", GraceTime, "error", errors.Join(err, server.Close()))
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", listener.Addr(), err)
	}
	return nil
}
