// Command sweep kills rollouts at each of their external effects in turn, one
// effect a rollout, of a service that is switched by DNS and of one that is led
// in Consul's mesh too, and tells how many fault points were hit. Package sweep
// says how.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"switchd/testenv/sweep"
)

type flags struct {
	AtATime int  `default:"8" help:"Rollouts that are under way together."`
	Kills   int  `default:"1" help:"How often one rollout is killed, each time at another point."`
	List    bool `help:"List the fault points that were hit."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("sweep"), kong.Description("Kills rollouts at each of their external effects in turn."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := f.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "sweep: %v\n", err)
		os.Exit(1)
	}
}

func (f flags) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "sweep-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	ground, err := sweep.NewGround(ctx, dir)
	defer func() {
		err = errors.Join(err, ground.Close(), os.RemoveAll(dir))
	}()
	if err != nil {
		return err
	}
	broken := 0
	for _, variant := range []struct{ name, extra string }{{"dns", ""}, {"dns and mesh", `switch "resolver" {}`}} {
		result, err := ground.Sweep(ctx, sweep.Options{
			AtATime: f.AtATime, Kills: f.Kills, Extra: variant.extra, Known: sweep.Known(),
			Say: func(broken string) { fmt.Printf("BROKEN PROMISE: %s: %s\n", variant.name, broken) },
		})
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", variant.name, result)
		if f.List {
			for _, p := range result.Hit {
				fmt.Println(p)
			}
		}
		for _, p := range result.Lacking {
			fmt.Printf("%s: nothing was killed %s\n", variant.name, p)
		}
		broken += len(result.Broken) + len(result.Lacking)
	}
	if broken > 0 {
		return fmt.Errorf("%d promises were broken, or could not be tried", broken)
	}
	return nil
}
