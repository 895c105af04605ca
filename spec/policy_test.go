package spec_test

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"switchd/spec"
)

// bounds are values that a service and a policy may both set; zero where they
// aren't set.
type bounds struct {
	quorum, down      spec.Count
	bake, healthy     time.Duration
	canary, approvers int
	failures          int // -1 for not set
	forbidden         []string
}

func drawBounds(t *rapid.T, who string) bounds {
	draw := func(name string, from, to int) int { return rapid.IntRange(from, to).Draw(t, who+" "+name) }
	count := func(name string, percents ...int) spec.Count {
		if n := draw(name, 0, 3); rapid.Bool().Draw(t, who+" plain "+name) {
			return spec.Nodes(n)
		}
		return spec.Count{N: rapid.SampledFrom(percents).Draw(t, who+" part "+name), Percent: true}
	}
	return bounds{
		quorum:    count("quorum", 1, 34, 60),
		down:      count("down", 1, 25, 40),
		bake:      time.Duration(draw("bake", 0, 2000)) * time.Second,
		healthy:   time.Duration(draw("healthy", 0, 100)) * time.Second,
		canary:    draw("canary", 0, 3),
		approvers: draw("approvers", 0, 3),
		failures:  draw("failures", -1, 3),
		forbidden: rapid.SampledFrom([][]string{nil, {"1.*"}, {"1.*", "2.0"}}).Draw(t, who+" forbidden"),
	}
}

// write is what a service and a policy both write.
func (b bounds) write() string {
	var text, roll strings.Builder
	line := func(to *strings.Builder, is bool, name string, value any) {
		if is {
			fmt.Fprintf(to, "%s = %s\n", name, value)
		}
	}
	line(&roll, b.quorum.N > 0, "quorum", asInput(b.quorum))
	line(&roll, b.down.N > 0, "max_unavailable", asInput(b.down))
	line(&roll, b.healthy > 0, "min_healthy_time", asInput(b.healthy))
	line(&roll, b.canary > 0, "canary_nodes", asInput(b.canary))
	line(&roll, b.failures >= 0, "max_failures", asInput(b.failures))
	line(&text, b.bake > 0, "bake", asInput(b.bake))
	line(&text, b.forbidden != nil, "forbidden_versions", asInput(b.forbidden))
	return text.String() + "roll {\n" + roll.String() + "}\n"
}

// asInput is a value as HCL.
func asInput(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return strconv.Quote(v.String())
	case []string:
		return `["` + strings.Join(v, `", "`) + `"]`
	case spec.Count:
		if v.Percent {
			return strconv.Quote(v.String())
		}
	}
	return fmt.Sprint(v)
}

func TestPolicy_OnlyTightens(t *testing.T) {
	t.Parallel()
	// Pools whose size only Consul knows.
	const pools = `
service "web" {
  port = 8080
  pool "blue" {
    node_meta = { pool = "blue" }
  }
  pool "green" {
    node_meta = { pool = "green" }
  }
  runtime "process" {
    command = ["./app"]
  }
`
	rapid.Check(t, func(rt *rapid.T) {
		all := []bounds{drawBounds(rt, "service"), drawBounds(rt, "a"), drawBounds(rt, "b")}
		own := all[0]
		compiled := func(policies ...bounds) spec.Service {
			files := base(t)
			text := pools + own.write() + fmt.Sprintf("approval \"owner\" {\n  min_approvers = %d\n}\n}\n", max(own.approvers, 1))
			for i, p := range policies {
				text += fmt.Sprintf("policy \"p%d\" {\n%s", i, p.write())
				if p.approvers > 0 {
					text += fmt.Sprintf("min_approvers = %d\n", p.approvers)
				}
				text += "}\n"
			}
			files["web.hcl"] = &fstest.MapFile{Data: []byte(text)}
			return service(t, compile(t, files, "prod"), "web")
		}
		got, turned := compiled(all[1], all[2]), compiled(all[2], all[1])

		// What a service doesn't say is a default, which policies tighten too.
		if own.quorum.N == 0 {
			all[0].quorum = spec.Nodes(1)
		}
		if own.down.N == 0 {
			all[0].down = spec.Nodes(1)
		}
		all[0].bake = cmp.Or(own.bake, 10*time.Minute)
		all[0].healthy = cmp.Or(own.healthy, 10*time.Second)
		all[0].approvers = max(own.approvers, 1)
		all[0].failures = max(own.failures, 0)

		// What holds is the strictest of all that is asked, and nothing stricter.
		for n := 1; n < 200; n++ {
			quorum, down := 0, n
			for _, b := range all {
				quorum = max(quorum, b.quorum.AtLeast(n))
				if b.down.N > 0 {
					down = min(down, b.down.AtMost(n))
				}
			}
			if q := got.Roll.Quorum.AtLeast(n); q != quorum {
				rt.Fatalf("quorum of %d nodes: got %d (%v), want %d", n, q, got.Roll.Quorum, quorum)
			}
			if d := min(got.Roll.MaxUnavailable.AtMost(n), n); d != down {
				rt.Fatalf("max_unavailable of %d nodes: got %d (%v), want %d", n, d, got.Roll.MaxUnavailable, down)
			}
		}
		want := bounds{failures: all[0].failures}
		for _, b := range all {
			want.bake, want.healthy = max(want.bake, b.bake), max(want.healthy, b.healthy)
			want.canary, want.approvers = max(want.canary, b.canary), max(want.approvers, b.approvers)
			if b.failures >= 0 {
				want.failures = min(want.failures, b.failures)
			}
			want.forbidden = append(want.forbidden, b.forbidden...)
		}
		slices.Sort(want.forbidden)
		want.forbidden = slices.Compact(want.forbidden)
		has := bounds{
			bake: got.Bake.Std(), healthy: got.Roll.MinHealthyTime.Std(), canary: got.Roll.CanaryNodes,
			approvers: got.Approvals[0].MinApprovers, failures: got.Roll.MaxFailures, forbidden: got.Forbidden,
		}
		if !reflect.DeepEqual(has, want) {
			rt.Errorf("got  %+v\nwant %+v", has, want)
		}

		// The order of policies does not count.
		got.Origins, turned.Origins, got.Tightened, turned.Tightened = nil, nil, nil, nil
		if !reflect.DeepEqual(got, turned) {
			rt.Errorf("got  %+v\nor   %+v", got, turned)
		}
	})
}

func TestPolicy_SaysWhatItTightens(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["own.hcl"] = &fstest.MapFile{Data: []byte(`owner = "web-team"

service "web" {
  bake = "2h"
  roll {
    max_failures = 2
  }
  approval "owners" {
    at        = ["switched"]
    approvers = ["ann", "bob", "cid"]
  }
  forbidden_versions = ["0.*"]
}
`)}
	files["policy.hcl"] = &fstest.MapFile{Data: []byte(`owner = "platform"

policy "first" {
  services     = ["we*"]
  environments = ["prod"]
  bake         = "1h" # web has more
  roll {
    quorum       = 2
    max_failures = 1
  }
  approval "owners" {
    min_approvers = 2
    approvers     = ["cid", "bob", "dan"]
    expires       = "1h"
  }
  wait "scan" {
    key = "scanned/${service}/${version}"
  }
}

policy "second" {
  approval "owners" {
    expires = "2h" # the first one asks for less
  }
  forbidden_versions = ["1.4.*", "0.*"]
  roll {
    max_failures = 0
  }
}

policy "elsewhere" {
  services = ["cart-*"]
  bake     = "24h"
}
`)}
	desired := compile(t, files, "prod")
	web := service(t, desired, "web")
	var got strings.Builder
	for _, line := range web.Tightened {
		got.WriteString(line.String() + "\n")
	}
	want := `approval.owners.approvers  ann, bob, cid -> bob, cid   (policy first, policy.hcl:13, owner platform)
approval.owners.at  switched -> switch, switched   (policy first, policy.hcl:11, owner platform)
approval.owners.expires  0s -> 1h0m0s   (policy first, policy.hcl:14, owner platform)
approval.owners.min_approvers  1 -> 2   (policy first, policy.hcl:12, owner platform)
forbidden_versions  1.4.*   (policy second, policy.hcl:25, owner platform)
roll.max_failures  2 -> 0   (policy second, policy.hcl:27, owner platform)
roll.quorum  1 -> 2   (policy first, policy.hcl:8, owner platform)
wait.scan  key scanned/{{service}}/{{version}} is there, at switch   (policy first, policy.hcl:16, owner platform)
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
	for path, want := range map[string]spec.Origin{
		"bake":               {File: "own.hcl", Line: 4, Owner: "web-team"},
		"roll.quorum":        {File: "policy.hcl", Line: 8, Owner: "platform"},
		"wait.scan":          {File: "policy.hcl", Line: 16, Owner: "platform"},
		"wait.scan.key":      {File: "policy.hcl", Line: 17, Owner: "platform"},
		"approval.owners":    {File: "own.hcl", Line: 8, Owner: "web-team"},
		"forbidden_versions": {File: "own.hcl", Line: 12, Owner: "web-team"},
	} {
		if got := web.Origins[path]; got != want {
			t.Errorf("origin of %s: got %v, want %v", path, got, want)
		}
	}
	if got := web.Waits[0].Owner; got != "platform" {
		t.Errorf("owner of the wait: got %q, want platform", got)
	}

	delete(files, "policy.hcl")
	changes := lines(spec.Diff(compile(t, files, "prod"), desired))
	wantChanges := `~ service.web.approval.owners.approvers  ["ann","bob","cid"] -> ["bob","cid"]   (policy.hcl:13, owner platform)
~ service.web.approval.owners.at  ["switched"] -> ["switch","switched"]   (policy.hcl:11, owner platform)
+ service.web.approval.owners.expires  "1h0m0s"   (policy.hcl:14, owner platform)
~ service.web.approval.owners.min_approvers  1 -> 2   (policy.hcl:12, owner platform)
~ service.web.forbidden_versions  ["0.*"] -> ["0.*","1.4.*"]   (own.hcl:12, owner web-team)
~ service.web.roll.max_failures  2 -> 0   (policy.hcl:27, owner platform)
~ service.web.roll.quorum  1 -> 2   (policy.hcl:8, owner platform)
+ service.web.wait.scan   (policy.hcl:16, owner platform)
`
	if changes != wantChanges {
		t.Errorf("got:\n%s\nwant:\n%s", changes, wantChanges)
	}
}

// A gate of a policy that knows nothing of weights is not lost where there are
// none.
func TestPolicy_StandsBeforeTheSwitchWithoutWeights(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["policy.hcl"] = &fstest.MapFile{Data: []byte("policy \"a\" {\n  approval \"each\" {\n    at = [\"weight\"]\n  }\n}\n")}
	web := service(t, compile(t, files, "prod"), "web")
	if gates := web.GatesAt(spec.PointSwitch); len(gates) != 1 || gates[0].Name != "each" {
		t.Errorf("got %v, want the gate of the policy", gates)
	}
}

func TestPolicy_ActsInItsEnvironmentsOnly(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["more.hcl"] = &fstest.MapFile{Data: []byte(`
environment "staging" {
  prometheus = "http://127.0.0.1:9090"
  zone "staging.test" {
    name_servers = ["ns1.staging.test"]
  }
}
policy "late" {
  environments = ["prod"]
  bake         = "1h"
}
policy "all" {
  bake = env.name == "prod" ? null : "20m"
}
`)}
	for env, want := range map[string]time.Duration{"prod": time.Hour, "staging": 20 * time.Minute} {
		if got := service(t, compile(t, files, env), "web").Bake.Std(); got != want {
			t.Errorf("bake in %s: got %v, want %v", env, got, want)
		}
	}
}

func TestForbids_NamesWhoForbidsAVersion(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["own.hcl"] = &fstest.MapFile{Data: []byte("owner = \"web-team\"\nservice \"web\" {\n  forbidden_versions = [\"0.*\", \"2.0.1\"]\n}\n")}
	files["policy.hcl"] = &fstest.MapFile{Data: []byte("owner = \"security\"\npolicy \"holes\" {\n  forbidden_versions = [\"1.*-*c*\"]\n}\n")}
	web := service(t, compile(t, files, "prod"), "web")
	for version, want := range map[string]string{
		"0.1":       `forbidden_versions has "0.*" (own.hcl:3, owner web-team)`,
		"2.0.1":     `forbidden_versions has "2.0.1" (own.hcl:3, owner web-team)`,
		"1.4-rc":    `policy "holes" forbids versions "1.*-*c*" (policy.hcl:3, owner security)`,
		"1.-c":      `policy "holes" forbids versions "1.*-*c*" (policy.hcl:3, owner security)`,
		"1.4":       "",
		"1-c":       "",
		"0":         "",
		"2.0.10":    "",
		"10.1-rc":   "",
		"1.4-beta":  "",
		"x0.1":      "",
		"2.0.1-rc.": "",
	} {
		if got := web.Forbids(version); got != want {
			t.Errorf("%s: got %q, want %q", version, got, want)
		}
	}
}

func TestForbids_TakesStarsForAnyText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		pattern := rapid.StringMatching(`[ab.*]{1,6}`).Draw(rt, "pattern")
		version := rapid.StringMatching(`[ab.]{1,8}`).Draw(rt, "version")
		s := spec.Service{Forbidden: []string{pattern}}
		want := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(version)
		if got := s.Forbids(version) != ""; got != want {
			rt.Errorf("%s of %s: got %t, want %t", pattern, version, got, want)
		}
	})
}
