package alerts

import (
	"context"
	"time"

	"switchd/spec"
)

// Know is what Run does with the desired state.
func (h *Halter) Know(env spec.Environment, services ...spec.Service) error {
	rules, err := NewRules(env.Name, services)
	h.inputs.Store(newInputs(env, rules))
	return err
}

// Remembered is how many resolved alerts are.
func (h *Halter) Remembered() int { return len(h.resolved.ids) }

// Why is what is written of the alert.
func (a Alert) Why(note string) string { return a.why(note) }

// By is the author of what is done for the alert.
func (a Alert) By() string { return a.by() }

// Accept tells whether the header has one of the tokens.
func (t Tokens) Accept(header string) bool { return t.accept(header) }

// ParseTokens reads the text of a file of tokens.
var ParseTokens = parseTokens

// Pending is how long an alert of a Prometheus rule was pending.
func Pending(hold, interval float64) time.Duration { return pending(hold, interval) }

// ReadAlertmanager reads an answer.
func ReadAlertmanager(body []byte) ([]Alert, error) {
	return source{kind: Alertmanager}.alertmanager(body)
}

// ReadPrometheus reads an answer.
func ReadPrometheus(body []byte) ([]Alert, error) { return source{kind: Prometheus}.prometheus(body) }

// Poller asks all servers each time that it is called.
func (h *Halter) Poller() func(context.Context) {
	failing := make(map[source]bool)
	return func(ctx context.Context) { h.pollAll(ctx, h.inputs.Load(), failing) }
}
