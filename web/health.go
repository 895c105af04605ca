package web

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"switchd/status"
)

// serveHealth tells that the process serves. It asks nobody: a replica whose
// Consul is away still answers DNS, and must not be taken out for it.
func (s *site) serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok: "+s.self()+"\n") // a client that went away needs no answer
}

// self says in words what this replica is doing.
func (s *site) self() string {
	parts := []string{"replica " + s.Replica + " of " + s.Ledger.Env()}
	if s.Driving() {
		parts = append(parts, "drives the rollouts")
	} else {
		parts = append(parts, "does not drive")
	}
	return strings.Join(append(parts, s.answers()), ", ")
}

// answers says in words how old this replica's DNS answers are.
func (s *site) answers() string {
	if s.DNS == nil {
		return "serves no DNS"
	}
	serial, age, ok := s.DNS()
	if !ok {
		return "DNS has no answers yet"
	}
	return fmt.Sprintf("DNS serial %d, confirmed %s ago", serial, status.Span(age.Truncate(time.Second)))
}
