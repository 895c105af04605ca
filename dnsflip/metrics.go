package dnsflip

import (
	"math"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a server tells Prometheus.
type metrics struct {
	queries    *prometheus.CounterVec
	collectors []prometheus.Collector
}

// newMetrics returns the metrics of a server whose current snapshot and open
// TCP connections the functions tell.
func newMetrics(current func() *snapshot, conns func() int) *metrics {
	m := &metrics{queries: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "switchd_dns_queries_total",
		Help: "Queries answered, by transport, type of the question and response code.",
	}, []string{"transport", "qtype", "rcode"})}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	ofView := func(none float64, value func(*View) float64) func() float64 {
		return func() float64 {
			if v := current().view; v != nil {
				return value(v)
			}
			return none
		}
	}
	m.collectors = []prometheus.Collector{
		m.queries,
		gauge("switchd_dns_view_age_seconds", "Time since the answers were last known to be what Consul holds; +Inf without any.",
			ofView(math.Inf(1), func(v *View) float64 { return time.Since(v.At).Seconds() })),
		gauge("switchd_dns_serial", "Serial of the zone that is served; 0 without one.",
			ofView(0, func(v *View) float64 { return float64(v.Serial) })),
		gauge("switchd_dns_carried_pools", "Pools without a passing node that keep the addresses that passed last.",
			ofView(0, func(v *View) float64 { return float64(v.carried()) })),
		gauge("switchd_dns_tcp_connections", "Open TCP connections.",
			func() float64 { return float64(conns()) }),
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors {
		c.Collect(ch)
	}
}

// count counts a reply.
func (m *metrics) count(transport string, reply *dns.Msg) {
	qtype := "none"
	if len(reply.Question) == 1 {
		qtype = qtypeName(reply.Question[0].Qtype)
	}
	m.queries.WithLabelValues(transport, qtype, rcodeName(reply.Rcode)).Inc()
}

// qtypeName names the types that are asked for; clients can't make more
// series than these.
func qtypeName(qtype uint16) string {
	switch qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeSOA, dns.TypeNS, dns.TypeHTTPS, dns.TypeTXT,
		dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR:
		return dns.TypeToString[qtype]
	default:
		return "other"
	}
}

func rcodeName(rcode int) string {
	if rcode == dns.RcodeBadVers {
		return "BADVERS" // the library has TSIG's name for 16
	}
	return dns.RcodeToString[rcode]
}
