package dashboards_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/testenv/devprometheus"
	"switchd/testenv/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRules_PassTheirUnitTests(t *testing.T) {
	t.Parallel()
	promtool, err := servers.Find(t.Context(), os.Stderr, servers.Promtool)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", "--lint=all", "--lint-fatal", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if out, err := exec.CommandContext(ctx, promtool, args...).CombinedOutput(); err != nil { //nolint:gosec // built by the test
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		cancel()
	}
}

// dashboard is what Grafana reads, as far as it matters here.
type dashboard struct {
	UID           string `json:"uid"`
	Title         string `json:"title"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []struct {
			Name, Type, Definition string
		} `json:"list"`
	} `json:"templating"`
	Links []struct {
		URL string `json:"url"`
	} `json:"links"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID         int    `json:"id"`
	Type       string `json:"type"`
	Title      string `json:"title"`
	Datasource struct {
		UID string `json:"uid"`
	} `json:"datasource"`
	GridPos struct{ X, Y, W, H int } `json:"gridPos"`
	Targets []struct {
		Expr  string `json:"expr"`
		RefID string `json:"refId"`
	} `json:"targets"`
}

func load(t *testing.T) []dashboard {
	t.Helper()
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	var all []dashboard
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, d)
	}
	return all
}

func TestDashboards_AreWhatGrafanaTakes(t *testing.T) {
	t.Parallel()
	boards := load(t)
	uids := make(map[string]bool)
	for _, d := range boards {
		if d.UID == "" || len(d.UID) > 40 || uids[d.UID] || d.Title == "" || d.SchemaVersion < 39 {
			t.Errorf("%q: uid %q, schema %d", d.Title, d.UID, d.SchemaVersion)
		}
		uids[d.UID] = true
		if d.Templating.List[0].Name != "datasource" || d.Templating.List[0].Type != "datasource" {
			t.Errorf("%s: the first variable is to be the data source", d.Title)
		}
		ids := make(map[int]bool)
		for i, p := range d.Panels {
			g := p.GridPos
			if ids[p.ID] || g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
				t.Errorf("%s, %s: id %d, place %+v", d.Title, p.Title, p.ID, g)
			}
			ids[p.ID] = true
			for _, o := range d.Panels[:i] {
				h := o.GridPos
				if g.X < h.X+h.W && h.X < g.X+g.W && g.Y < h.Y+h.H && h.Y < g.Y+g.H {
					t.Errorf("%s: %s lies over %s", d.Title, p.Title, o.Title)
				}
			}
			if p.Type == "row" {
				continue
			}
			refs := make(map[string]bool)
			for _, target := range p.Targets {
				if refs[target.RefID] || target.Expr == "" {
					t.Errorf("%s, %s: target %q", d.Title, p.Title, target.RefID)
				}
				refs[target.RefID] = true
			}
			if len(refs) == 0 || p.Title == "" || p.Datasource.UID != "${datasource}" {
				t.Errorf("%s, %q: %d targets from %s", d.Title, p.Title, len(refs), p.Datasource.UID)
			}
		}
	}
	for _, d := range boards {
		for _, link := range d.Links {
			if !uids[strings.TrimPrefix(link.URL, "/d/")] {
				t.Errorf("%s: %s leads nowhere", d.Title, link.URL)
			}
		}
	}
}

// asked are the metrics in a text.
func asked(text string) []string {
	all := regexp.MustCompile(`\b(switchd|process|go)_[a-z_]+\b`).FindAllString(text, -1)
	slices.Sort(all)
	return slices.Compact(all)
}

// scraping is a Prometheus that scrapes a replica, with the rules.
func scraping(t *testing.T, h http.Handler) *devprometheus.Lone {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	rules, err := filepath.Abs("rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	return devprometheus.Start(t, fmt.Sprintf(`
global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [%q]
scrape_configs: [{job_name: prod, static_configs: [{targets: [%q]}]}]
`, rules, server.Listener.Addr()))
}

// ask gives the answer to a question as JSON.
func ask(t *testing.T, base, path string, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

type answer struct {
	Status, Error string
	Data          struct {
		Result []json.RawMessage
	}
}

// TestDashboardsAndRules_ShowWhatAReplicaTells loads both into a real Prometheus that
// scrapes a replica.
func TestDashboardsAndRules_ShowWhatAReplicaTells(t *testing.T) {
	t.Parallel()
	replica := page(t)
	there := names(t, replica)
	rules, err := os.ReadFile("rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var recorded []string
	for _, m := range regexp.MustCompile(`record: (\S+)`).FindAllSubmatch(rules, -1) {
		recorded = append(recorded, string(m[1]))
	}
	strip := strings.NewReplacer(func() []string {
		var pairs []string
		for _, r := range recorded {
			pairs = append(pairs, r, "")
		}
		return pairs
	}()...)
	for line := range strings.SplitSeq(string(rules), "\n") {
		if !strings.Contains(line, "expr:") {
			continue
		}
		for _, name := range asked(strip.Replace(line)) {
			if !slices.Contains(there, name) {
				t.Errorf("rules.yml asks for %s, which no replica tells", name)
			}
		}
	}
	p := scraping(t, replica)
	await(t, func() string {
		var targets struct {
			Data struct {
				ActiveTargets []struct{ Health, LastError string }
			}
		}
		ask(t, p.URL, "/api/v1/targets", &targets)
		for _, target := range targets.Data.ActiveTargets {
			if target.Health == "up" {
				return ""
			}
		}
		return fmt.Sprintf("the replica is not scraped: %+v", targets.Data)
	})
	var loaded struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	await(t, func() string {
		ask(t, p.URL, "/api/v1/rules", &loaded)
		for _, g := range loaded.Data.Groups {
			for _, r := range g.Rules {
				if r.Health != "ok" {
					return fmt.Sprintf("rule %s is %s: %s", r.Name, r.Health, r.LastError)
				}
			}
		}
		if len(loaded.Data.Groups) == 0 {
			return "no rules are loaded"
		}
		return ""
	})
	for _, d := range load(t) {
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				for _, name := range asked(strip.Replace(target.Expr)) {
					if !slices.Contains(there, name) {
						t.Errorf("%s, %s asks for %s, which no replica tells", d.Title, panel.Title, name)
					}
				}
				query := strings.NewReplacer("$__rate_interval", "5s", "$job", "prod", "$service", "web").Replace(target.Expr)
				await(t, func() string {
					var got answer
					ask(t, p.URL, "/api/v1/query?query="+url.QueryEscape(query), &got)
					if got.Status != "success" || len(got.Data.Result) == 0 {
						return fmt.Sprintf("%s, %s shows nothing: %s %s", d.Title, panel.Title, query, got.Error)
					}
					return ""
				})
			}
		}
		for _, v := range d.Templating.List {
			m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Definition)
			if v.Type != "query" {
				continue
			}
			if m == nil {
				t.Errorf("%s: variable %s is %q", d.Title, v.Name, v.Definition)
				continue
			}
			var got struct{ Data []string }
			ask(t, p.URL, "/api/v1/label/"+m[2]+"/values?match[]="+url.QueryEscape(strings.ReplaceAll(m[1], "$job", "prod")), &got)
			if len(got.Data) == 0 {
				t.Errorf("%s: variable %s has no values: %s", d.Title, v.Name, v.Definition)
			}
		}
	}
}

// await waits until nothing is wrong any more.
func await(t *testing.T, wrong func() string) {
	t.Helper()
	var what string
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if what = wrong(); what == "" {
			return
		}
	}
	t.Fatal(what)
}

func TestManual_HasEveryMetric(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	d := declare(t)
	for name := range d {
		if strings.HasPrefix(name, "switchd_") && !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/OPERATING.md doesn't tell of %s", name)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(switchd_[a-z_]+)`").FindAllSubmatch(text, -1) {
		name := string(m[1])
		web := regexp.MustCompile(`^switchd_(consul_up|driving|live_|pool_|rollout_(phase|wait|deadline))`)
		if _, known := d[name]; !known && !web.MatchString(name) {
			t.Errorf("docs/OPERATING.md tells of %s, which is no metric", name)
		}
	}
}
