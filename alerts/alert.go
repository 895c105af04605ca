// Package alerts halts rollouts for alerts. It takes them from Alertmanager's
// and Grafana's webhooks, asks Alertmanager and Prometheus for those that fire,
// since a webhook may get lost, and finds the rollouts that they concern.
//
// It remembers next to nothing: what an alert may do follows from when it began
// and from the rollout's own record. So every replica can take every alert, and
// one that is told again, or by several, has no second effect.
package alerts

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"switchd/rollout"
	"switchd/status"
)

// Source is what evaluated an alert, or passed it on.
type Source string

// The sources of alerts.
const (
	Alertmanager Source = "alertmanager"
	Grafana      Source = "grafana"
	Prometheus   Source = "prometheus"
)

// Alert is one alert as a source tells it.
type Alert struct {
	Labels model.LabelSet
	// Firing is false of an alert that is resolved.
	Firing   bool
	StartsAt time.Time
	// GeneratorURL leads to the rule, if the source says so.
	GeneratorURL string
	Source       Source
	// Receiver is the webhook's name at its sender; empty: the alert was asked
	// for.
	Receiver string

	id string // ID, once it is known
	at int    // its place among those that were told together
}

// Bounds of what is quoted of an alert, in bytes. All of it fits into one event
// of a rollout's timeline, which takes 500.
const (
	maxName     = 80
	maxReceiver = 40
	maxLabels   = 130
	maxURL      = 100
)

// Name is the alert's name for people.
func (a Alert) Name() string {
	if name := a.Labels[model.AlertNameLabel]; name != "" {
		return quote(string(name), maxName)
	}
	return "without a name"
}

// ID tells one time that an alert fires from all others: its labels'
// fingerprint, which is that of Alertmanager, and when it began.
func (a Alert) ID() string {
	if a.id != "" {
		return a.id
	}
	return fmt.Sprintf("%s since %s", a.Labels.Fingerprint(), a.StartsAt.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// by names the alert as the author of a change.
func (a Alert) by() string { return "alert " + a.Name() }

// why says what is known of the alert, with its ID last. A note takes the place
// of the rule's address.
func (a Alert) why(note string) string {
	told := string(a.Source) + ", asked for its alerts"
	if a.Receiver != "" {
		told = string(a.Source) + ", receiver " + quote(a.Receiver, maxReceiver)
	}
	others := a.Labels.Clone()
	delete(others, model.AlertNameLabel)
	text := fmt.Sprintf("it fires with %s (told by %s)", quote(others.String(), maxLabels), told)
	switch {
	case note != "":
		text += "; " + quote(note, maxURL)
	case a.GeneratorURL != "":
		text += ", see " + quote(a.GeneratorURL, maxURL)
	}
	return text + " [" + a.ID() + "]"
}

// quote makes a foreign text printable and bounds it.
func quote(text string, most int) string { return rollout.Clip(status.Printable(text), most) }
