// Command switchbench measures how fast a rollback takes effect, on a real
// cluster under load: from `switchd rollback` to the last DNS replica, to the
// compiled discovery chain and to a proxy's endpoints. It also counts the
// controller's writes for a rollout, and measures what a controller costs at
// rest. It ends with lines "figure: NAME VALUE".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"switchd/testenv/cluster"
)

type flags struct {
	Rollbacks int           `help:"Rollbacks to measure; 0: none." default:"200"`
	Replicas  int           `help:"Replicas of switchd serve." default:"3"`
	Nodes     int           `help:"Nodes of each pool." default:"2"`
	Rate      float64       `help:"Requests a second that clients send meanwhile, each with a connection of its own." default:"200"`
	Services  int           `help:"Services of the controller at rest; 0: none." default:"1000"`
	Rest      time.Duration `help:"How long it is measured." default:"1m"`
	Keep      string        `help:"Folder for logs and data, kept at the end; a temporary one if not set." type:"path"`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("switchbench"), kong.Description("Measures rollbacks under load, and a controller at rest."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := f.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "switchbench: %v\n", err)
		os.Exit(1)
	}
}

func (f flags) run(ctx context.Context) (err error) {
	dir := f.Keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "switchbench-"); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	}
	var figures []figure
	if f.Rollbacks > 0 {
		found, err := f.rollbacks(ctx, dir+"/rollbacks")
		if err != nil {
			return err
		}
		figures = append(figures, found...)
	}
	if f.Services > 0 {
		found, err := f.rest(ctx, dir+"/rest")
		if err != nil {
			return err
		}
		figures = append(figures, found...)
	}
	for _, figure := range figures {
		fmt.Printf("figure: %s %s\n", figure.name, figure.value)
	}
	return nil
}

// start starts a cluster in a folder of its own. The caller closes it also when
// that fails.
func start(ctx context.Context, dir string, opts cluster.Options) (*cluster.Cluster, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	opts.Dir, opts.Progress = dir, os.Stderr
	return cluster.Start(ctx, opts)
}

// end ends a cluster, if there is one, and joins what came of that.
func end(c *cluster.Cluster, err *error) {
	if c != nil {
		*err = errors.Join(*err, c.Close())
	}
}

type figure struct{ name, value string }

// figuresOf are percentiles of some times, in milliseconds.
func figuresOf(name string, times []time.Duration, percentiles ...int) []figure {
	slices.Sort(times)
	var all []figure
	for _, p := range percentiles {
		at := times[min(len(times)*p/100, len(times)-1)]
		all = append(all, figure{fmt.Sprintf("%s_p%d", name, p), fmt.Sprintf("%.1f", float64(at.Microseconds())/1000)})
	}
	return all
}
