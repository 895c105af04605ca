package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Alert tells a replica that an alert about a service is "firing" or "resolved",
// in the form of Alertmanager's webhook, version 4.
// Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
func (r *Replica) Alert(ctx context.Context, token, status, service string, began time.Time) error {
	alert := map[string]any{"status": status, "labels": map[string]string{"alertname": "HighErrorRate", "service": service}, "startsAt": began}
	if status == "resolved" {
		alert["endsAt"] = time.Now().UTC()
	}
	text, err := json.Marshal(map[string]any{"version": "4", "status": status, "receiver": "switchd", "alerts": []any{alert}})
	if err != nil {
		return fmt.Errorf("tell of an alert: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.HTTP()+"/v1/alerts", bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("tell of an alert: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := r.cluster.http.Do(request)
	if err != nil {
		return fmt.Errorf("tell of an alert: %w", err)
	}
	if err := response.Body.Close(); err != nil {
		return fmt.Errorf("tell of an alert: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return errors.New("tell of an alert: " + response.Status)
	}
	return nil
}
