// Command canary puts pools of the sample app under load, with a real
// Prometheus, and judges each of them against the live one: one that runs the
// same version, which must not be halted, and one for each fault, which must be.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type flags struct {
	Time time.Duration `default:"10m" help:"How long two pools of the same version are compared."`
	Rate int           `default:"100" help:"Requests per second and pool."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("canary"), kong.Description("Judges pools of the sample app on a real Prometheus."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, f)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "canary: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags) (err error) {
	w, err := newWorld(ctx, f.Rate)
	if err != nil {
		return err
	}
	defer func() {
		if ended := w.close(); err == nil {
			err = ended
		}
	}()
	wrong := 0
	for result := range w.judge(ctx, f.Time) {
		fmt.Printf("%s\n    %s: %s\n", result.pool.name, result.verdict.Outcome, result.verdict.Why)
		for _, line := range result.verdict.Evidence {
			fmt.Printf("      %s\n", line)
		}
		if why := result.wrong(); why != "" {
			wrong++
			fmt.Printf("    WRONG: %s\n", why)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d verdicts are wrong", wrong, len(w.canaries))
	}
	return nil
}
