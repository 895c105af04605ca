package dnsflip

import (
	"context"
	"log/slog"

	"github.com/miekg/dns"

	"switchd/zone"
)

// sampled tells whether this query is one that is logged.
func (s *Server) sampled() bool {
	share := s.cfg.QueryLog
	if share <= 0 {
		return false
	}
	return float64(s.cfg.Rand()>>11)/(1<<53) < share
}

// logQuery logs a query with its reply.
func (s *Server) logQuery(q *query, rcode, size int, out *reply) {
	attrs := []slog.Attr{
		slog.String("client", out.client.String()), slog.String("transport", out.via.String()),
		slog.String("rcode", rcodeName(rcode)), slog.Int("bytes", size),
		slog.Bool("edns", q.edns > 0), slog.Bool("do", q.do),
	}
	if len(q.question) > 0 {
		attrs = append(attrs, slog.String("name", zone.Name(q.name()).String()), slog.String("type", dns.Type(q.qtype).String()))
	}
	s.cfg.Log.LogAttrs(context.Background(), slog.LevelInfo, "DNS query", attrs...)
}
