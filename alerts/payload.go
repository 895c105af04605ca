package alerts

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// maxAlerts is how many alerts one body or one answer may have.
const maxAlerts = 10_000

// message is what both senders post: Alertmanager with version "4", Grafana's
// unified alerting with version "1" and the organization's number.
// Sources: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
// and https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/.
type message struct {
	Version  string            `json:"version"`
	OrgID    *int64            `json:"orgId"`
	Receiver string            `json:"receiver"`
	Alerts   []json.RawMessage `json:"alerts"`
	// Truncated counts alerts that the sender has left out, by its max_alerts.
	Truncated uint64 `json:"truncatedAlerts"`
}

// told is one alert of a message, and of Alertmanager's API.
type told struct {
	Status       json.RawMessage `json:"status"` // of a message: a text
	Labels       model.LabelSet  `json:"labels"`
	StartsAt     time.Time       `json:"startsAt"`
	GeneratorURL string          `json:"generatorURL"`
}

// Delivery is what a webhook has brought.
type Delivery struct {
	Source Source
	Alerts []Alert
	// Unreadable has the reason for each alert that is none. The others count
	// nevertheless.
	Unreadable []error
	// Truncated counts alerts that the sender has left out.
	Truncated uint64
}

// Parse reads the body of a webhook.
func Parse(body []byte) (Delivery, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return Delivery{}, fmt.Errorf("read the webhook: %w", err)
	}
	d := Delivery{Truncated: m.Truncated}
	switch {
	case m.Version == "4":
		d.Source = Alertmanager
	case m.Version == "1" && m.OrgID != nil:
		d.Source = Grafana
	default:
		return Delivery{}, fmt.Errorf("read the webhook: version %.20q is neither Alertmanager's (\"4\") nor Grafana's (\"1\", with an orgId); send it without a payload template", m.Version)
	}
	if len(m.Alerts) > maxAlerts {
		return Delivery{}, fmt.Errorf("read the webhook: it has %d alerts, and at most %d are taken; set max_alerts at the sender", len(m.Alerts), maxAlerts)
	}
	for i, raw := range m.Alerts {
		a, err := parseOne(raw)
		if err != nil {
			d.Unreadable = append(d.Unreadable, fmt.Errorf("alert %d: %w", i+1, err))
			continue
		}
		a.Source, a.Receiver = d.Source, m.Receiver
		if a.Receiver == "" {
			a.Receiver = "without a name"
		}
		d.Alerts = append(d.Alerts, a)
	}
	return d, nil
}

func parseOne(raw json.RawMessage) (Alert, error) {
	var t told
	if err := json.Unmarshal(raw, &t); err != nil {
		return Alert{}, err
	}
	var state string
	if err := json.Unmarshal(t.Status, &state); err != nil || state != string(model.AlertFiring) && state != string(model.AlertResolved) {
		return Alert{}, fmt.Errorf("status is %.40q, and neither \"firing\" nor \"resolved\"", t.Status)
	}
	a, err := t.alert()
	a.Firing = state == string(model.AlertFiring)
	return a, err
}

// alert checks what everything else relies on.
func (t told) alert() (Alert, error) {
	switch {
	case len(t.Labels) == 0:
		return Alert{}, errors.New("it has no labels")
	case t.StartsAt.IsZero():
		return Alert{}, errors.New("it doesn't say when it began (startsAt)")
	}
	return Alert{Labels: t.Labels, StartsAt: t.StartsAt, GeneratorURL: t.GeneratorURL}, nil
}

// noEvidence tells whether an alert says that nothing is known: Grafana has
// alerts of these names, with the rule's labels, for a rule without data and
// for one that can't be evaluated. They may come by way of an Alertmanager.
// Source: https://grafana.com/docs/grafana/latest/alerting/fundamentals/alert-rule-evaluation/nodata-and-error-states/.
func (a Alert) noEvidence() bool {
	name := a.Labels[model.AlertNameLabel]
	return name == "DatasourceNoData" || name == "DatasourceError"
}
