// Command app is the sample service of the tests and the demo: a small HTTP
// server that tells its version and misbehaves on request.
//
// Its settings are those of app.json beside the binary, so that an artifact can
// bring its own; --config names another file, and flags win over both.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// version is set at link time with -X main.version; the settings win over it.
var version = "dev"

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(context.Background(), os.Args[1:], log); err != nil {
		fmt.Fprintf(os.Stderr, "app: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, log *slog.Logger) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find app.json: %w", err)
	}
	cfg, err := parse(args, version, filepath.Dir(self))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	if cfg.IgnoreSIGTERM {
		signal.Ignore(syscall.SIGTERM)
	} else {
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
	}
	return serve(ctx, cfg, log)
}
