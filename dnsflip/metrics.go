package dnsflip

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// The types and response codes that are counted by name; clients can't make
// more series than these.
var (
	countedTypes = [...]uint16{
		dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeHTTPS, dns.TypeSRV, dns.TypeTXT, dns.TypeMX, dns.TypePTR,
		dns.TypeSOA, dns.TypeNS, dns.TypeDS, dns.TypeDNSKEY, dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR,
	}
	countedRcodes = [...]int{
		dns.RcodeSuccess, dns.RcodeFormatError, dns.RcodeServerFailure, dns.RcodeNameError, dns.RcodeNotImplemented,
		dns.RcodeRefused, dns.RcodeYXDomain, dns.RcodeNotAuth, dns.RcodeBadVers,
	}
)

// counters are those of one worker, so that workers don't wait for each
// other's writes.
type counters struct {
	replies   [2][len(countedTypes) + 2][len(countedRcodes) + 1]atomic.Uint64 // by transport, type and rcode; the last ones are "other" and "none"
	ignored   atomic.Uint64
	truncated atomic.Uint64
	dropped   atomic.Uint64
	slipped   atomic.Uint64
	unsent    atomic.Uint64
}

// count counts a reply.
func (c *counters) count(via transport, q *query, rcode int) {
	qtype := len(countedTypes) + 1
	if len(q.question) > 0 {
		qtype = 0
		for qtype < len(countedTypes) && countedTypes[qtype] != q.qtype {
			qtype++
		}
	}
	code := 0
	for code < len(countedRcodes) && countedRcodes[code] != rcode {
		code++
	}
	c.replies[via][qtype][code].Add(1)
}

// metrics are what a server tells Prometheus.
type metrics struct {
	mu      sync.Mutex
	workers []*counters

	descs  descs
	gauges []prometheus.Collector
}

type descs struct {
	replies, ignored, truncated, limited, unsent *prometheus.Desc
	serial                                       *prometheus.Desc
}

// newMetrics returns the metrics of a server.
func newMetrics(s *Server) *metrics {
	m := &metrics{descs: descs{
		replies:   prometheus.NewDesc("switchd_dns_queries_total", "Queries answered, by transport, type of the question and response code.", []string{"transport", "qtype", "rcode"}, nil),
		ignored:   prometheus.NewDesc("switchd_dns_ignored_total", "Packets without a reply: replies, and what is shorter than a header.", nil, nil),
		truncated: prometheus.NewDesc("switchd_dns_truncated_total", "Replies that had no room and told the client to come by TCP.", nil, nil),
		limited:   prometheus.NewDesc("switchd_dns_rate_limited_total", "Replies over the rate of their kind, by what was done: dropped, or slipped as truncated.", []string{"action"}, nil),
		unsent:    prometheus.NewDesc("switchd_dns_unsent_total", "Replies by UDP that the network had no room for, or no way.", nil, nil),
		serial:    prometheus.NewDesc("switchd_dns_serial", "Serial of a zone that is served.", []string{"zone"}, nil),
	}}
	gauge := func(name, help string, value func() float64) {
		m.gauges = append(m.gauges, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("switchd_dns_view_age_seconds", "Time since the answers were last known to be what Consul holds; +Inf without any.", func() float64 {
		if v := s.View(); v != nil {
			return time.Since(v.At).Seconds()
		}
		return math.Inf(1)
	})
	gauge("switchd_dns_carried_pools", "Pools without a passing node that keep the addresses that passed last.", func() float64 {
		if v := s.View(); v != nil {
			return float64(v.carried())
		}
		return 0
	})
	gauge("switchd_dns_tcp_connections", "Open TCP connections.", func() float64 { return float64(s.conns.open()) })
	gauge("switchd_dns_notify_pending", "Secondaries that have not acknowledged the latest version of a zone.", s.pending)
	m.gauges = append(m.gauges, serials{m.descs.serial, s}, s.transfers.total)
	return m
}

// counters returns the counters of a new worker; those of a worker that ended
// keep counting in the sums.
func (m *metrics) counters() *counters {
	c := &counters{}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.workers = append(m.workers, c)
	return c
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.descs.replies, m.descs.ignored, m.descs.truncated, m.descs.limited, m.descs.unsent} {
		ch <- d
	}
	for _, g := range m.gauges {
		g.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	workers := slices.Clip(m.workers)
	m.mu.Unlock()
	sum := func(of func(*counters) *atomic.Uint64) float64 {
		var n uint64
		for _, w := range workers {
			n += of(w).Load()
		}
		return float64(n)
	}
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	for _, via := range []transport{udp, tcp} {
		for t := range len(countedTypes) + 2 {
			for r := range len(countedRcodes) + 1 {
				if n := sum(func(c *counters) *atomic.Uint64 { return &c.replies[via][t][r] }); n > 0 {
					send(m.descs.replies, n, via.String(), typeLabel(t), rcodeLabel(r))
				}
			}
		}
	}
	send(m.descs.ignored, sum(func(c *counters) *atomic.Uint64 { return &c.ignored }))
	send(m.descs.truncated, sum(func(c *counters) *atomic.Uint64 { return &c.truncated }))
	send(m.descs.unsent, sum(func(c *counters) *atomic.Uint64 { return &c.unsent }))
	send(m.descs.limited, sum(func(c *counters) *atomic.Uint64 { return &c.dropped }), "dropped")
	send(m.descs.limited, sum(func(c *counters) *atomic.Uint64 { return &c.slipped }), "slipped")
	for _, g := range m.gauges {
		g.Collect(ch)
	}
}

func typeLabel(i int) string {
	switch i {
	case len(countedTypes):
		return "other"
	case len(countedTypes) + 1:
		return "none"
	default:
		return dns.TypeToString[countedTypes[i]]
	}
}

func rcodeLabel(i int) string {
	if i == len(countedRcodes) {
		return "other"
	}
	return rcodeName(countedRcodes[i])
}

func rcodeName(rcode int) string {
	if rcode == dns.RcodeBadVers {
		return "BADVERS" // the library has TSIG's name for 16
	}
	return dns.RcodeToString[rcode]
}

// serials tells the serial of each zone.
type serials struct {
	desc   *prometheus.Desc
	server *Server
}

// Describe implements prometheus.Collector.
func (s serials) Describe(ch chan<- *prometheus.Desc) { ch <- s.desc }

// Collect implements prometheus.Collector.
func (s serials) Collect(ch chan<- prometheus.Metric) {
	for _, z := range s.server.current.Load().zones {
		ch <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, float64(z.serial), plain(z.zone.Origin().String()))
	}
}
