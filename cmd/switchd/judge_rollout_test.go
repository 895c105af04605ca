package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/analysis"
	"switchd/consul"
	"switchd/gate"
	"switchd/judge/replay"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestJudge_ShowsWhatARolloutWasJudgedBy lets an analysis fail a rollout, keeps
// its record in a real Consul, and shows the evidence.
func TestJudge_ShowsWhatARolloutWasJudgedBy(t *testing.T) {
	t.Parallel()
	config := spec.Analysis{
		Interval: spec.Duration(time.Second), Looks: 5, Alpha: 0.02, Compare: spec.CompareLive, Days: 1, Wider: 1, SettleFactor: 1,
		Metrics: []spec.Metric{{
			Name: "errors", Judge: spec.JudgeSequential, Node: "instance", Allowed: 1.1, Margin: 0.5, Require: spec.RequireNoWorse, Weight: 1,
			Bad: `http_requests_total{pool="{{pool}}",code=~"5.."}`, Total: `http_requests_total{pool="{{pool}}"}`,
		}},
	}
	end := time.Now().Truncate(time.Second)
	begin := end.Add(-time.Minute)
	series, err := replay.ReadDump(strings.NewReader(faulty(begin, end)), "web.om", func(map[string]string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	verdict := analysis.Watch(t.Context(), analysis.Task{
		Config: config, Vars: spec.Vars{Service: "web", Pool: "green", Other: "blue"}, Share: 50, Since: begin, Began: begin,
	}, series, nil)
	if verdict.Outcome != gate.Fail {
		t.Fatalf("the analysis says %q: %s", verdict.Outcome, verdict.Why)
	}

	server := devconsul.Start(t, nil)
	keep(t, server, consul.Keys{Env: "prod"}.Spec("web"), spec.Service{Name: "web", Analysis: &config})
	for id, evidence := range map[string]json.RawMessage{"1-judged": verdict.State, "2-queued": nil} {
		keep(t, server, consul.Keys{Env: "prod"}.History("web", id), rollout.Record{
			ID: id, Service: "web", Version: "1.1.0", Pool: "green", From: pools.Side{Pool: "blue", Version: "1.0.0"},
			At: begin, Phase: rollout.Failed, Entered: end, Evidence: evidence,
		})
	}
	show := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs strings.Builder
		if status := run(t.Context(), append([]string{"--http-addr", server.Addr(), "--env", "prod", "judge"}, args...), &out, &errs); status != want {
			t.Errorf("%v ended with %d, want %d: %s", args, status, want, errs.String())
		}
		return out.String(), errs.String()
	}

	page := filepath.Join(t.TempDir(), "web.html")
	text, _ := show(statusFailed, "--rollout", "web", "--exit-code", "--html", page)
	if !strings.HasPrefix(text, "regressed: errors: green's share of bad requests ") || !strings.Contains(text, "of rollout 1-judged in prod\n") {
		t.Errorf("it shows %s", text)
	}
	if html, err := os.ReadFile(page); err != nil || !strings.Contains(string(html), "web 1.1.0 to green: rollout 1-judged in prod") || !strings.Contains(string(html), "<svg ") {
		t.Errorf("the page is %s, %v", html, err)
	}
	if again, _ := show(statusOK, "--rollout", "web/1-judged"); again != text {
		t.Errorf("by its ID it shows %s", again)
	}
	if _, errs := show(statusError, "--rollout", "web/2-queued"); errs != "switchd: rollout 2-queued of web has kept no evidence: it was not analysed\n" {
		t.Errorf("without evidence: %s", errs)
	}
	if _, errs := show(statusUsage, "--rollout", "web/3"); !strings.HasPrefix(errs, `switchd: web has no rollout "3" in its history`) {
		t.Errorf("of another ID: %s", errs)
	}
	show(statusUnknown, "--rollout", "wbe")
}

// faulty are series in which green answers with errors.
func faulty(begin, end time.Time) string {
	var text strings.Builder
	for _, pool := range []string{"green", "blue"} {
		bad := map[string]int{"green": 60, "blue": 5}[pool]
		for i := 0; !begin.Add(time.Duration(i) * time.Second).After(end); i++ {
			at := begin.Add(time.Duration(i) * time.Second).Unix()
			fmt.Fprintf(&text, "http_requests_total{pool=%q,instance=%q,code=\"200\"} %d %d\n", pool, pool, 1000*i, at)
			fmt.Fprintf(&text, "http_requests_total{pool=%q,instance=%q,code=\"500\"} %d %d\n", pool, pool, bad*i, at)
		}
	}
	return text.String()
}

func keep(t *testing.T, server *devconsul.Lone, key string, value any) {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Client().API().KV().Put(&api.KVPair{Key: key, Value: data}, nil); err != nil {
		t.Fatal(err)
	}
}
