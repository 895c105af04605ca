package swarm

import (
	"context"
	"log/slog"
)

// errorsOnly hands on errors. What the library says besides is of use to its
// authors only.
type errorsOnly struct{ slog.Handler }

// Enabled tells whether a record of the level is handed on.
func (h errorsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}

// WithAttrs returns a handler that adds attributes.
func (h errorsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return errorsOnly{h.Handler.WithAttrs(attrs)}
}

// WithGroup returns a handler that opens a group.
func (h errorsOnly) WithGroup(name string) slog.Handler { return errorsOnly{h.Handler.WithGroup(name)} }
