package alerts_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"switchd/alerts"
)

func file(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// The payload has every field that Grafana documents:
// https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/.
func TestParse_ReadsGrafanasDocumentedPayload(t *testing.T) {
	t.Parallel()
	d, err := alerts.Parse(file(t, "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	if d.Source != alerts.Grafana || len(d.Alerts) != 2 || len(d.Unreadable) != 0 || d.Truncated != 0 {
		t.Fatalf("got %+v", d)
	}
	a := d.Alerts[0]
	began := time.Date(2026, 3, 4, 9, 51, 3, 157076000, time.UTC)
	if a.Name() != "Checkout is slow" || !a.Firing || !a.StartsAt.Equal(began) || a.Labels["service"] != "web" {
		t.Errorf("got %+v", a)
	}
	const want = `it fires with {grafana_folder="shop", service="web", severity="critical"} (told by grafana, receiver rollouts of prod), ` +
		`see https://grafana.apps.test/alerting/grafana/slow1/view?orgId=1 [`
	if why := a.Why(""); !strings.HasPrefix(why, want) || !strings.HasSuffix(why, " since 2026-03-04T09:51:03.157Z]") {
		t.Errorf("got  %s\nwant %s…", why, want)
	}
}

func TestParse_ReadsAlertmanagersPayload(t *testing.T) {
	t.Parallel()
	d, err := alerts.Parse(file(t, "alertmanager.json"))
	if err != nil {
		t.Fatal(err)
	}
	if d.Source != alerts.Alertmanager || len(d.Alerts) != 2 || len(d.Unreadable) != 0 || d.Truncated != 3 {
		t.Fatalf("got %+v", d)
	}
	if !d.Alerts[0].Firing || d.Alerts[1].Firing || d.Alerts[1].Name() != "HighLatency" {
		t.Errorf("got %+v", d.Alerts)
	}
}

func TestParse_KeepsTheGoodAlertsOfABody(t *testing.T) {
	t.Parallel()
	const good = `{"status":"firing","labels":{"alertname":"Good"},"startsAt":"2026-01-02T03:04:05Z"}`
	for _, bad := range []struct{ alert, why string }{
		{`7`, "cannot unmarshal"},
		{`null`, "neither"},
		{`{"status":"firing","labels":{},"startsAt":"2026-01-02T03:04:05Z"}`, "no labels"},
		{`{"status":"firing","labels":{"alertname":7},"startsAt":"2026-01-02T03:04:05Z"}`, "cannot unmarshal"},
		{`{"status":"firing","labels":{"":"x"},"startsAt":"2026-01-02T03:04:05Z"}`, "not a valid label name"},
		{`{"status":"firing","labels":{"alertname":"A"}}`, "startsAt"},
		{`{"status":"firing","labels":{"alertname":"A"},"startsAt":"yesterday"}`, "yesterday"},
		{`{"status":"smouldering","labels":{"alertname":"A"},"startsAt":"2026-01-02T03:04:05Z"}`, "smouldering"},
		{`{"labels":{"alertname":"A"},"startsAt":"2026-01-02T03:04:05Z"}`, "neither"},
	} {
		d, err := alerts.Parse(fmt.Appendf(nil, `{"version":"4","receiver":"r","alerts":[%s,%s,%s]}`, good, bad.alert, good))
		if err != nil || len(d.Alerts) != 2 || len(d.Unreadable) != 1 {
			t.Errorf("%s: got %+v, %v", bad.alert, d, err)
			continue
		}
		if got := d.Unreadable[0].Error(); !strings.HasPrefix(got, "alert 2: ") || !strings.Contains(got, bad.why) {
			t.Errorf("%s: got %q, want it to say %q", bad.alert, got, bad.why)
		}
	}
}

func TestParse_RefusesWhatIsNoWebhook(t *testing.T) {
	t.Parallel()
	for _, bad := range []struct{ body, want string }{
		{``, "unexpected end"},
		{`[]`, "cannot unmarshal"},
		{`{}`, `version ""`},
		{`{"version":"3","alerts":[]}`, `version "3"`},
		{`{"version":"1","alerts":[]}`, "orgId"},
		{`{"version":"4","alerts":[]}{}`, "after top-level"},
		{`{"version":"4","alerts":[` + strings.Repeat("{},", 10_000) + `{}]}`, "max_alerts"},
		{strings.Repeat("[", 1<<20), "depth"},
	} {
		if d, err := alerts.Parse([]byte(bad.body)); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%.40s: got %+v, %v, want %q", bad.body, d, err, bad.want)
		}
	}
}

// Whatever a sender writes, one event of a timeline (500 bytes) takes it, and
// no terminal is steered by it.
func TestAlert_IsTakenWholeByTheTimeline(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		long := rapid.OneOf(rapid.String(), rapid.StringN(0, 400, 2000), rapid.StringOf(rapid.RuneFrom([]rune("\x1b\n\"é€"))))
		a := alerts.Alert{
			Labels:       model.LabelSet{"alertname": model.LabelValue(long.Draw(t, "name")), "x": model.LabelValue(long.Draw(t, "label"))},
			StartsAt:     time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "starts"), 0),
			GeneratorURL: long.Draw(t, "url"), Receiver: long.Draw(t, "receiver"), Source: alerts.Alertmanager,
		}
		why := a.Why(long.Draw(t, "note"))
		event := "halted by " + a.By() + ": " + why
		if len(event) > 500 || !utf8.ValidString(event) || strings.ContainsFunc(event, unicode.IsControl) {
			t.Errorf("%d bytes: %q", len(event), event)
		}
		if !strings.HasSuffix(why, "["+a.ID()+"]") {
			t.Errorf("the ID is not last: %q", why)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(file(f, "grafana.json"))
	f.Add(file(f, "alertmanager.json"))
	f.Add([]byte(`{"version":"4","alerts":[null,{"status":"firing","labels":{"a":"b"},"startsAt":"9999-12-31T23:59:59Z"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := alerts.Parse(body)
		if err != nil {
			return
		}
		for _, a := range d.Alerts {
			checkAlert(t, a)
			if a.Receiver == "" {
				t.Errorf("an alert of a webhook looks like one that was asked for: %+v", a)
			}
		}
	})
}

// checkAlert holds every alert that is read to what the rest relies on.
func checkAlert(t *testing.T, a alerts.Alert) {
	t.Helper()
	if len(a.Labels) == 0 || a.StartsAt.IsZero() || a.Source == "" || a.Name() == "" || !strings.HasSuffix(a.Why(""), "["+a.ID()+"]") {
		t.Errorf("got %+v", a)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`[{"labels":{"alertname":"A"},"startsAt":"2026-01-02T03:04:05Z","status":{"state":"active"}}]`))
	f.Add([]byte(`{"status":"success","data":{"groups":[{"interval":15,"rules":[{"duration":20,"alerts":[{"state":"firing","labels":{"a":"b"},"activeAt":"2026-01-02T03:04:05Z"}]}]}]}}`))
	f.Add([]byte(`{"status":"success","data":{"groups":[{"interval":1e308,"rules":[{"duration":-1e308,"alerts":[{"state":"firing","labels":{"a":"b"}}]}]}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, read := range []func([]byte) ([]alerts.Alert, error){alerts.ReadAlertmanager, alerts.ReadPrometheus} {
			found, _ := read(body)
			for _, a := range found {
				checkAlert(t, a)
				if !a.Firing || a.Receiver != "" {
					t.Errorf("an alert that was asked for: %+v", a)
				}
			}
		}
	})
}

// payload is what Alertmanager would send.
func payload(tb testing.TB, list ...alerts.Alert) []byte {
	tb.Helper()
	type posted struct {
		Status       string         `json:"status"`
		Labels       model.LabelSet `json:"labels"`
		StartsAt     time.Time      `json:"startsAt"`
		GeneratorURL string         `json:"generatorURL"`
	}
	var all []posted
	for _, a := range list {
		status := "resolved"
		if a.Firing {
			status = "firing"
		}
		all = append(all, posted{status, a.Labels, a.StartsAt, a.GeneratorURL})
	}
	text, err := json.Marshal(map[string]any{"version": "4", "receiver": "switchd", "alerts": all})
	if err != nil {
		tb.Fatal(err)
	}
	return text
}
