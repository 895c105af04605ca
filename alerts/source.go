package alerts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Bounds of one question for alerts.
const (
	askTime   = 5 * time.Second
	maxAnswer = 16 << 20 // bytes
)

// source is a server that is asked for the alerts that fire.
type source struct {
	kind Source
	base string
}

func (s source) String() string { return string(s.kind) + " at " + s.base }

// firing asks for the alerts that fire. Beside an error, there may be some: that
// others can't be had is no reason to let a rollout go on.
func (s source) firing(ctx context.Context, client *http.Client) ([]Alert, error) {
	ask, path := (source).alertmanager, "/api/v2/alerts?active=true&silenced=false&inhibited=false&unprocessed=false"
	if s.kind == Prometheus {
		ask, path = (source).prometheus, "/api/v1/rules?type=alert"
	}
	body, err := get(ctx, client, strings.TrimSuffix(s.base, "/")+path)
	var alerts []Alert
	if err == nil {
		alerts, err = ask(s, body)
	}
	if most := min(len(alerts), maxAlerts); len(alerts) > most {
		err = errors.Join(err, fmt.Errorf("%d alerts fire, and only the first %d are read", len(alerts), most))
		alerts = alerts[:most]
	}
	if err != nil {
		return alerts, fmt.Errorf("ask %s for its alerts: %w", s, err)
	}
	return alerts, nil
}

// alertmanager reads the answer of Alertmanager's API.
// Source: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml.
func (s source) alertmanager(body []byte) ([]Alert, error) {
	var answer []json.RawMessage
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	var alerts []Alert
	var unreadable error // the first one's
	for i, raw := range answer {
		var t told
		if err := json.Unmarshal(raw, &t); err != nil {
			unreadable = cmp.Or(unreadable, fmt.Errorf("alert %d of %d: %w", i+1, len(answer), err))
			continue
		}
		if a, err := t.alert(); err == nil { // what is none can't be matched either
			a.Firing, a.Source = true, s.kind
			alerts = append(alerts, a)
		}
	}
	return alerts, unreadable
}

// groups is the answer of Prometheus' API. Its shorter list, /api/v1/alerts,
// doesn't tell since when an alert fires, only since when its expression holds.
// Source: https://prometheus.io/docs/prometheus/latest/querying/api/#rules.
type groups struct {
	Status string `json:"status"`
	Data   struct {
		Groups []struct {
			Interval float64 `json:"interval"` // seconds
			Rules    []struct {
				Duration float64 `json:"duration"` // the rule's "for", in seconds
				Alerts   []struct {
					State    string         `json:"state"`
					Labels   model.LabelSet `json:"labels"`
					ActiveAt time.Time      `json:"activeAt"`
				} `json:"alerts"`
			} `json:"rules"`
		} `json:"groups"`
	} `json:"data"`
}

// prometheus reads the answer of Prometheus' API.
func (s source) prometheus(body []byte) ([]Alert, error) {
	var answer groups
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("status is %.40q, and not \"success\"", answer.Status)
	}
	var alerts []Alert
	for _, g := range answer.Data.Groups {
		for _, rule := range g.Rules {
			for _, a := range rule.Alerts {
				if a.State != string(model.AlertFiring) {
					continue
				}
				a, err := told{Labels: a.Labels, StartsAt: a.ActiveAt.Add(pending(rule.Duration, g.Interval))}.alert()
				if err != nil {
					continue
				}
				a.Firing, a.Source = true, s.kind
				alerts = append(alerts, a)
			}
		}
	}
	return alerts, nil
}

// pending is how long an alert was pending before it fired: the first
// evaluation at which its expression had held for as long as the rule says.
func pending(hold, interval float64) time.Duration {
	const most = 365 * 24 * 60 * 60 // seconds
	if interval > 0 {
		hold = math.Ceil(hold/interval) * interval
	}
	return time.Duration(min(max(hold, 0), most) * float64(time.Second))
}

// newClient asks without the proxies of the environment, and follows no
// redirects. A question every few seconds needs no connection kept open.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       askTime,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // without the URL, which is said already
		}
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answers %d: %s", response.StatusCode, quote(string(body), 200))
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return body, nil
}
