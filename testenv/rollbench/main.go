// Command rollbench rolls simulated nodes on a real Consul of three servers:
// the agents' and the engine's real code, with listeners in place of services.
// It measures the hand-over from one node to the next, the writes a node, and
// a roll of a thousand nodes of which some fail while Consul's leader is
// killed. It ends with lines "figure: NAME VALUE".
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
	Few  int    `help:"Nodes of the roll that the hand-over is measured on." default:"20"`
	Many int    `help:"Nodes of the large roll; 0: none." default:"1000"`
	Sick int    `help:"Percentage of the nodes of the large roll that fail." default:"5"`
	Keep string `help:"Folder for logs and data, kept at the end; a temporary one if not set." type:"path"`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("rollbench"), kong.Description("Measures rolls on simulated nodes and a real Consul."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := f.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "rollbench: %v\n", err)
		os.Exit(1)
	}
}

func (f flags) run(ctx context.Context) error {
	dir := f.Keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "rollbench-"); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	}
	var figures []figure
	few, err := scenario{name: "few", nodes: f.Few, dir: dir + "/few"}.run(ctx)
	if err != nil {
		return err
	}
	figures = append(figures,
		figure{"roll.handover_ms_p50", milliseconds(percentile(few.handovers, 50))},
		figure{"roll.handover_ms_p99", milliseconds(percentile(few.handovers, 99))},
		figure{"roll.writes_per_node", fmt.Sprintf("%.1f", few.writes)})
	if f.Many > 0 {
		many, err := scenario{name: "many", nodes: f.Many, sick: f.Many * f.Sick / 100, killLeader: true, atATime: 5, dir: dir + "/many"}.run(ctx)
		if err != nil {
			return err
		}
		figures = append(figures,
			figure{fmt.Sprintf("roll.%d.seconds", f.Many), fmt.Sprintf("%.1f", many.took.Seconds())},
			figure{fmt.Sprintf("roll.%d.writes_per_node", f.Many), fmt.Sprintf("%.1f", many.writes)},
			figure{fmt.Sprintf("roll.%d.writes_per_second", f.Many), fmt.Sprintf("%.0f", many.writes*float64(f.Many)/many.took.Seconds())},
			figure{fmt.Sprintf("roll.%d.consul_cpu_seconds", f.Many), fmt.Sprintf("%.0f", many.cpu.Seconds())},
			figure{fmt.Sprintf("roll.%d.broken_promises", f.Many), fmt.Sprint(many.broken)})
	}
	for _, figure := range figures {
		fmt.Printf("figure: %s %s\n", figure.name, figure.value)
	}
	return nil
}

type figure struct{ name, value string }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000)
}
