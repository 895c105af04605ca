//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// dnsperf saturates a server with the queries of a file and returns what it
// has seen.
func dnsperf(ctx context.Context, server netip.AddrPort, file string, cpus []int, d time.Duration) (perf, error) {
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	argv := append(pin(cpus),
		"dnsperf", "-s", server.Addr().String(), "-p", strconv.Itoa(int(server.Port())), "-d", file,
		"-l", strconv.FormatFloat(d.Seconds(), 'f', -1, 64), "-e", "-c", "8", "-T", strconv.Itoa(len(cpus)), "-q", "200")
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return perf{}, fmt.Errorf("dnsperf: %w; it is in Debian's package dnsperf\n%s", err, out)
	}
	return parsePerf(string(out))
}

// perf is what dnsperf has seen.
type perf struct {
	qps      float64
	done     int
	lost     int
	nxdomain int
	other    int // rcodes but NOERROR and NXDOMAIN
}

// parsePerf reads the statistics that dnsperf prints at its end.
func parsePerf(out string) (perf, error) {
	var p perf
	for label, to := range map[string]any{"Queries completed": &p.done, "Queries lost": &p.lost, "Queries per second": &p.qps} {
		found := regexp.MustCompile(label + `:\s+([0-9.]+)`).FindStringSubmatch(out)
		if found == nil {
			return p, fmt.Errorf("dnsperf said nothing of %q:\n%s", label, out)
		}
		if _, err := fmt.Sscan(found[1], to); err != nil {
			return p, fmt.Errorf("dnsperf's %q: %w", label, err)
		}
	}
	codes := regexp.MustCompile(`Response codes:(.*)`).FindStringSubmatch(out)
	if codes == nil {
		return p, fmt.Errorf("dnsperf had no answer:\n%s", out)
	}
	for _, code := range regexp.MustCompile(`(\w+) (\d+) \(`).FindAllStringSubmatch(codes[1], -1) {
		n, err := strconv.Atoi(code[2])
		if err != nil {
			return p, fmt.Errorf("dnsperf's %q: %w", code[0], err)
		}
		switch code[1] {
		case "NOERROR":
		case "NXDOMAIN":
			p.nxdomain += n
		default:
			p.other += n
		}
	}
	return p, nil
}
