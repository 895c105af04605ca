package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// exporter is how one kind of program names what it counts. docs/ANALYSIS.md
// has the sources of all names.
type exporter struct {
	requests string // counter of answers, by status code
	// fixed are matchers that every selector has, counted those of all codes,
	// and failed completes a matcher of the label code.
	fixed, counted, failed string
	histogram, unit        string
	cpu                    string // counter of seconds of a process
	labels                 map[string]string
	// lacks says of a kind of ready-made metric why there is none.
	lacks map[string]string
}

func exporters() map[string]exporter {
	const noLoad = "It tells nothing of the load of the service's own processes."
	return map[string]exporter{
		"promhttp": {
			requests: "http_requests_total", failed: `=~"5.."`,
			histogram: "http_request_duration_seconds", unit: UnitSeconds,
			cpu:    "process_cpu_seconds_total",
			labels: map[string]string{"service": "service", "pool": "pool", "node": "instance", "code": "code"},
		},
		"envoy": {
			requests: "envoy_cluster_upstream_rq_xx", failed: `="5"`,
			histogram: "envoy_cluster_upstream_rq_time", unit: UnitMilliseconds,
			labels: map[string]string{"service": "service", "pool": "pool", "node": "instance", "code": "envoy_response_code_class"},
			lacks:  map[string]string{readySaturation: noLoad},
		},
		"haproxy": {
			requests: "haproxy_server_http_responses_total", failed: `="5xx"`,
			labels: map[string]string{"service": "service", "pool": "pool", "node": "server", "code": "code"},
			lacks: map[string]string{
				readyLatency:    "It has averages of the last 1024 requests, but no histogram.",
				readySaturation: noLoad,
			},
		},
		"nginx-vts": {
			// The host "*" is the sum of all others, and the code "total", which
			// some versions have, that of all codes.
			requests: "nginx_vts_server_requests_total", fixed: `host!="*"`, counted: `=~"[1-5]xx"`, failed: `="5xx"`,
			histogram: "nginx_vts_server_request_duration_seconds", unit: UnitSeconds,
			labels: map[string]string{"service": "service", "pool": "pool", "node": "instance", "code": "code"},
			lacks:  map[string]string{readySaturation: noLoad},
		},
		"nginx": {
			lacks: map[string]string{
				readyErrors:     `It reads stub_status, which counts requests without their status codes. Use the module nginx-module-vts and exporter = "nginx-vts".`,
				readyLatency:    `It reads stub_status, which has no latencies. Use the module nginx-module-vts and exporter = "nginx-vts".`,
				readySaturation: noLoad,
			},
		},
	}
}

func exporterNames() []string { return slices.Sorted(maps.Keys(exporters())) }

// exportersOf are those that have a kind of ready-made metric.
func exportersOf(kind string) []string {
	var names []string
	for name, e := range exporters() {
		if e.lacks[kind] == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// series writes a selector; empty matchers are left out.
func series(name string, matchers ...string) string {
	matchers = slices.DeleteFunc(matchers, func(m string) bool { return m == "" })
	if len(matchers) == 0 {
		return name
	}
	return fmt.Sprintf("%s{%s}", name, strings.Join(matchers, ","))
}
