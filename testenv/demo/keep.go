package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"switchd/testenv/cluster"
)

// keep prints how to use what runs, and waits for Ctrl-C.
func (d *demo) keep(ctx context.Context) {
	c := d.cluster
	_, _ = fmt.Fprintf(d.out, "\nEverything runs on, the clients too, until Ctrl-C.\n\n")
	for _, line := range [][2]string{
		{"Consul UI", "http://" + c.ConsulAddr() + "/ui/"},
		{"Prometheus", c.PrometheusURL()},
		{"DNS", strings.Join(c.DNS(), "  ")},
		{"HTTP", "http://" + c.Replicas[0].HTTP() + "/  http://" + c.Replicas[1].HTTP() + "/"},
		{"logs", filepath.Join(c.Dir, "logs")},
	} {
		_, _ = fmt.Fprintf(d.out, "  %-11s %s\n", line[0], line[1])
	}
	host, port, _ := strings.Cut(c.DNS()[0], ":")
	_, _ = fmt.Fprintf(d.out, "\nIn another shell:\n\n  export PATH=%s:$PATH %s\n", filepath.Dir(c.Bin.Switchd), strings.Join(c.Environ(), " "))
	for _, line := range []string{
		"switchd status web --watch",
		"switchd promote web 4.0.0",
		"switchd halt web --why 'let me look' && switchd resume web",
		"switchd rollback web",
		"switchd history web",
		fmt.Sprintf("dig @%s -p %s web.%s", host, port, cluster.Zone),
		fmt.Sprintf("agent --env %s --data %s status", cluster.Env, c.Agents[0].Data()),
	} {
		_, _ = fmt.Fprintf(d.out, "  %s\n", line)
	}
	d.load.Mark("kept")
	<-ctx.Done()
	d.stopLoad()
	chapters := d.load.Snapshot()
	_, _ = fmt.Fprintf(d.out, "\n%s\n", chapters[len(chapters)-1])
}
