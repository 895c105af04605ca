package spec_test

import (
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"switchd/spec"
)

func TestCompile_FillsInDefaults(t *testing.T) {
	t.Parallel()
	web := service(t, compile(t, base(t), "prod"), "web")

	want := spec.Service{
		Name:  "web",
		Owner: "web-team",
		Port:  8080,
		Pools: map[string]spec.Pool{
			spec.Blue:  {Nodes: []string{"web-b1", "web-b2", "web-b3"}},
			spec.Green: {Nodes: []string{"web-g1", "web-g2", "web-g3"}},
		},
		Runtime: spec.Runtime{
			Kind:        spec.RuntimeProcess,
			Command:     []string{"./app"},
			StopSignal:  "SIGTERM",
			StopGrace:   spec.Duration(10 * time.Second),
			HookTimeout: spec.Duration(time.Minute),
		},
		Health: spec.Health{Path: "/healthz", Interval: spec.Duration(2 * time.Second), Timeout: spec.Duration(time.Second)},
		Roll: spec.Roll{
			Quorum:          spec.Nodes(1),
			MaxUnavailable:  spec.Nodes(1),
			MinHealthyTime:  spec.Duration(10 * time.Second),
			HealthyDeadline: spec.Duration(5 * time.Minute),
			DrainTimeout:    spec.Duration(10 * time.Second),
		},
		Switch:    spec.Switch{Kind: spec.SwitchDNS, Name: "web", TTL: spec.Duration(time.Minute), ArmedTTL: spec.Duration(5 * time.Second)},
		Drain:     spec.Drain{Least: spec.Duration(90 * time.Second), Below: 0.1, For: spec.Duration(time.Minute)},
		Bake:      spec.Duration(10 * time.Minute),
		AfterBake: spec.AfterBakeKeep,
		Notify:    spec.Notify{Events: []string{"waiting", "done", "halted", "failed", "rolledback"}, Remind: spec.Duration(4 * time.Hour)},
		Deadlines: web.Deadlines, // below
		Origins:   web.Origins,   // below
	}
	if !reflect.DeepEqual(web, want) {
		t.Errorf("got  %+v\nwant %+v", web, want)
	}
	if got, want := slices.Sorted(maps.Keys(web.Deadlines)), slices.Sorted(slices.Values(spec.Phases())); !slices.Equal(got, want) {
		t.Errorf("phases with a deadline: got %v, want %v", got, want)
	}
	for phase, deadline := range web.Deadlines {
		then := spec.ThenHalt
		if phase == "draining" {
			then = spec.ThenContinue
		}
		if deadline.After <= 0 || deadline.Then != then {
			t.Errorf("deadline of %s: got %+v, want some time and then %q", phase, deadline, then)
		}
	}
}

func TestCompile_RemembersWhereValuesWereSet(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["policy.hcl"] = &fstest.MapFile{Data: []byte(`
service "web" {
  roll {
    quorum = 2
  }
  analysis {
    metric "errors" {
      query = "errors"
      max   = 0
    }
  }
}
`)}
	desired := compile(t, files, "prod")
	web := service(t, desired, "web")
	for path, want := range map[string]spec.Origin{
		"port":                 {File: "web.hcl", Line: 4, Owner: "web-team"},
		"pool.blue":            {File: "web.hcl", Line: 5, Owner: "web-team"},
		"pool.blue.nodes":      {File: "web.hcl", Line: 6, Owner: "web-team"},
		"runtime.command":      {File: "web.hcl", Line: 12, Owner: "web-team"},
		"roll.quorum":          {File: "policy.hcl", Line: 4},
		"metric.errors.query":  {File: "policy.hcl", Line: 8},
		"metric.errors.max":    {File: "policy.hcl", Line: 9},
		"roll.max_unavailable": {},
		"bake":                 {},
	} {
		if got := web.Origins[path]; got != want {
			t.Errorf("origin of %s: got %+v, want %+v", path, got, want)
		}
	}
	for path, want := range map[string]spec.Origin{
		"vars":              {File: "environment.hcl", Line: 5, Owner: "platform"},
		"zone.name_servers": {File: "environment.hcl", Line: 7, Owner: "platform"},
		"zone.ttl":          {},
	} {
		if got := desired.Environment.Origins[path]; got != want {
			t.Errorf("origin of %s: got %+v, want %+v", path, got, want)
		}
	}
}

func TestCompile_EvaluatesForTheEnvironment(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["more.hcl"] = &fstest.MapFile{Data: []byte(`
environment "staging" {
  vars = { domain = "${env.name}.test" }
  zone "staging.test" {
    name_servers = ["ns1.${env.vars.domain}"]
  }
}

service "web" {
  roll {
    quorum = env.name == "prod" ? 2 : null # the default
  }
  smoke "home" {
    headers   = { Host = "${env.vars.domain}" }
    want_body = "${version} on ${node} in ${other_pool}"
  }
}

service "only-staging" {
  environments = ["staging"]
  port         = 1
  pool "blue" {
    nodes = ["n1", "n2"]
  }
  pool "green" {
    nodes = ["n3", "n4"]
  }
  runtime "process" {
    command = ["true"]
  }
}
`)}
	for env, want := range map[string]struct {
		quorum int
		host   string
		count  int
	}{
		"prod":    {2, "apps.test", 1},
		"staging": {1, "staging.test", 2},
	} {
		t.Run(env, func(t *testing.T) {
			t.Parallel()
			desired := compile(t, files, env)
			web := service(t, desired, "web")
			if len(desired.Services) != want.count {
				t.Errorf("services: got %d, want %d", len(desired.Services), want.count)
			}
			if web.Roll.Quorum != spec.Nodes(want.quorum) {
				t.Errorf("quorum: got %v, want %d", web.Roll.Quorum, want.quorum)
			}
			if got := web.Smoke[0].Headers["Host"]; got != want.host {
				t.Errorf("host: got %q, want %q", got, want.host)
			}
			if got, want := web.Smoke[0].WantBody, "{{version}} on {{node}} in {{other_pool}}"; got != want {
				t.Errorf("runtime variables: got %q, want %q", got, want)
			}
		})
	}
}

func TestCompile_TakesTheOnlyEnvironmentWithoutItsName(t *testing.T) {
	t.Parallel()
	if got := compile(t, base(t), "").Environment.Name; got != "prod" {
		t.Errorf("environment: got %q, want prod", got)
	}
}

func TestCompile_GivesTheAnalysisThePrometheusOfItsEnvironment(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["more.hcl"] = &fstest.MapFile{Data: []byte("service \"web\" {\n  analysis {\n    metric \"errors\" {\n" +
		"      query = <<-Q\n        sum(errors)\n          / sum(requests)\n      Q\n      max = 0.01\n    }\n  }\n}\n")}
	analysis := service(t, compile(t, files, "prod"), "web").Analysis
	if got, want := analysis.Prometheus, "http://127.0.0.1:9090"; got != want {
		t.Errorf("prometheus: got %q, want %q", got, want)
	}
	if got, want := analysis.Metrics[0].Query, "sum(errors)\n  / sum(requests)"; got != want {
		t.Errorf("query: got %q, want %q", got, want)
	}
}

func TestCompile_BoundsAService(t *testing.T) {
	t.Parallel()
	files := base(t)
	var b strings.Builder // of texts that grow sixfold as JSON
	b.WriteString("service \"web\" {\n  runtime \"process\" {\n    env = {\n")
	for _, name := range []string{"A", "B", "C", "D", "E"} {
		b.WriteString("      " + name + " = \"" + strings.Repeat("<", 9<<10) + "\"\n")
	}
	b.WriteString("    }\n  }\n}\n")
	files["more.hcl"] = &fstest.MapFile{Data: []byte(b.String())}
	src, diags := spec.LoadFS(files)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if _, diags := src.Compile("prod"); !strings.Contains(diags.Error(), "at most 262144 are allowed") {
		t.Errorf("got %v", diags)
	}
}

// compile loads and compiles what must have no mistake.
func compile(t testing.TB, files fs.FS, env string) *spec.Desired {
	t.Helper()
	src, diags := spec.LoadFS(files)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	desired, diags := src.Compile(env)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return desired
}

func service(t testing.TB, desired *spec.Desired, name string) spec.Service {
	t.Helper()
	for _, s := range desired.Services {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no service %q", name)
	return spec.Service{}
}

func TestCompile_RefusesWhatDidNotLoad(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["more.hcl"] = &fstest.MapFile{Data: []byte("service \"web\" {\n  bakes = \"1h\"\n}\n")}
	src, _ := spec.LoadFS(files)
	if desired, diags := src.Compile("prod"); desired != nil || !strings.Contains(diags.Error(), `"bakes"`) {
		t.Errorf("got %v and %v, want the errors of Load", desired, diags)
	}
}

func TestCompile_TakesDeadlinesThatJustSuffice(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["more.hcl"] = &fstest.MapFile{Data: []byte(`
service "web" {
  warmup {
    ramp    = "10s"
    window  = "5s"
    windows = 4
  }
  deadline "warmup" {
    after = "30s"
  }
}
`)}
	if got, want := service(t, compile(t, files, "prod"), "web").Deadlines["warmup"].After.Std(), 30*time.Second; got != want {
		t.Errorf("deadline: got %v, want %v", got, want)
	}
}
