//go:build linux

package alerts_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchd/alerts"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
	"switchd/testenv/proc"
	"switchd/testenv/servers"
)

const prometheusConfig = `
global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ['%s']}]}]}
scrape_configs: [{job_name: app, static_configs: [{targets: ['%s']}]}]
`

const prometheusRules = `
groups:
- name: app
  rules:
  - alert: HighErrorRate
    expr: failing > 0
    for: 500ms
    labels: {severity: page}
`

// The alerts of web are sent to the receiver; nobody is sent those of shop.
const alertmanagerConfig = `
route:
  receiver: nobody
  group_by: [service]
  group_wait: 0s
  group_interval: 1s
  routes: [{receiver: switchd, matchers: ['service="web"']}]
receivers:
- name: nobody
- name: switchd
  webhook_configs:
  - url: %s
    http_config: {authorization: {credentials: %s}}
`

// TestAlerts_HaltByTheWholeChain has Prometheus evaluate a rule, Alertmanager
// send what comes of it, and rollouts in Consul halted for it: web's by the
// webhook, shop's by asking Alertmanager, cart's by asking Prometheus. Then the
// alerts are resolved, and web goes on, since it asks for that.
func TestAlerts_HaltByTheWholeChain(t *testing.T) {
	t.Parallel()
	var arrived atomic.Pointer[time.Time]
	var receiver atomic.Pointer[alerts.Receiver]
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		arrived.CompareAndSwap(nil, &now)
		receiver.Load().ServeHTTP(w, r)
	}))
	defer hook.Close()

	c := startChain(t, hook.URL)
	client := devconsul.Start(t, nil).Client()
	asking := &spec.AlertSources{Alertmanager: []string{c.alertmanager}, Every: spec.Duration(time.Second)}
	hardlyAsking := &spec.AlertSources{Alertmanager: asking.Alertmanager, Every: spec.Duration(time.Hour)}
	byService := func(resume bool) spec.Alert {
		return spec.Alert{Name: "errors", Match: []string{"service={{service}}", "alertname=HighErrorRate"}, Then: spec.ThenRollback, Resume: resume}
	}
	prod := newWorld(t, client, spec.Environment{Name: "prod", Alerts: hardlyAsking}, service("web", byService(true)))
	lost := newWorld(t, client, spec.Environment{Name: "lost", Alerts: asking}, service("shop", byService(false)))
	direct := newWorld(t, client, spec.Environment{Name: "direct", Alerts: &spec.AlertSources{Prometheus: []string{c.prometheus}, Every: asking.Every}}, service("cart"))
	tokens, err := alerts.ParseTokens(strings.NewReader(token), "tokens")
	if err != nil {
		t.Fatal(err)
	}
	receiver.Store(alerts.NewReceiver(prod.run(t, nil, discard()), tokens, discard()))
	lost.run(t, nil, discard())
	direct.run(t, nil, discard())
	prod.rollOut(t, "web", rollout.Canary)
	lost.rollOut(t, "shop", rollout.Baking)
	direct.rollOut(t, "cart", rollout.Rolling)

	c.failing.Store(1)
	web, shop, cart := prod.await(t, "web", rollout.Halted), lost.await(t, "shop", rollout.RolledBack), direct.await(t, "cart", rollout.Halted)
	if took := web.Halt.At.Sub(*arrived.Load()); took > time.Second {
		t.Errorf("it took %s from the alert's arrival to the halt", took)
	} else {
		t.Logf("from the alert's arrival to the halt: %s", took)
	}
	for name, c := range map[string]struct{ why, want string }{
		"web":  {web.Halt.Why, `service="web", severity="page"} (told by alertmanager, receiver switchd), see http://`},
		"shop": {shop.Outcome, "alert HighErrorRate: it fires with {"},
		"cart": {cart.Halt.Why, "told by prometheus, asked for its alerts"},
	} {
		if !strings.Contains(c.why, c.want) {
			t.Errorf("%s: %q, want it to say %q", name, c.why, c.want)
		}
	}
	c.failing.Store(0)
	if r := prod.await(t, "web", rollout.Canary); r.Timeline[len(r.Timeline)-1].What != "resumed by alert HighErrorRate, which is resolved" {
		t.Errorf("timeline %+v", r.Timeline)
	}
}

// chain is a Prometheus with a rule, and an Alertmanager that it tells.
type chain struct {
	prometheus, alertmanager string // base URLs
	// failing is what the rule is about: above 0, an alert fires for each of web,
	// shop and cart.
	failing *atomic.Int64
	// kill kills the Alertmanager.
	kill func()
}

// startChain starts one whose Alertmanager tells a webhook.
func startChain(t *testing.T, hook string) chain {
	t.Helper()
	var failing atomic.Int64
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"web", "shop", "cart"} {
			_, _ = fmt.Fprintf(w, "failing{service=%q} %d\n", name, failing.Load())
		}
	}))
	t.Cleanup(app.Close)
	dir := t.TempDir() // before the group, which ends before it is removed
	group := proc.ForTest(t)
	alertmanager, prometheus := freePort(t), freePort(t)
	start := func(name string, argv ...string) *proc.Process {
		t.Helper()
		binary, err := servers.Find(t.Context(), os.Stderr, name)
		if err != nil {
			t.Fatal(err)
		}
		process, err := group.Start(t.Context(), name, filepath.Join(dir, name+".log"), append([]string{binary}, argv...), nil)
		if err != nil {
			t.Fatal(err)
		}
		return process
	}
	config := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	telling := start(servers.Alertmanager, "--config.file="+config("alertmanager.yml", fmt.Sprintf(alertmanagerConfig, hook, token)),
		"--storage.path="+filepath.Join(dir, "am"), "--cluster.listen-address=", "--web.listen-address="+alertmanager)
	config("rules.yml", prometheusRules)
	start(servers.Prometheus, "--config.file="+config("prometheus.yml", fmt.Sprintf(prometheusConfig, alertmanager, strings.TrimPrefix(app.URL, "http://"))),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+prometheus, "--log.level=warn")
	return chain{
		prometheus: "http://" + prometheus, alertmanager: "http://" + alertmanager, failing: &failing,
		kill: func() {
			if err := telling.Kill(); err != nil {
				t.Error(err)
			}
			<-telling.Done()
		},
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
