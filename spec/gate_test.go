package spec_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"switchd/spec"
)

const gated = `owner = "security"

environment "prod" {
  alerts {
    alertmanager = ["http://127.0.0.1:9093"]
  }
}

service "web" {
  weights = [5, 25, 100]

  approval "zeta" {
    at            = ["switched", "roll"]
    min_approvers = 2
    approvers     = ["ann", "bob"]
    expires       = "2h"
    deadline      = "3h"
  }
  approval "plain" {}
  deadline "approval" {
    then = "rollback"
  }

  wait "migration" {
    key   = "migrations/${service}/${version}"
    value = "done"
  }
  wait "check" {
    at       = ["weight"]
    command  = ["replicas-caught-up", "${pool}"]
    every    = "1m"
    timeout  = "30s"
    remind   = "30m"
    deadline = "2h"
    then     = "rollback"
  }
  window "office" {
    days      = ["fri", "mon"]
    hours     = "22:00-04:00"
    time_zone = "Europe/Berlin"
    freeze "year-end" {
      from = "2026-12-23T18:00"
      to   = "2027-01-02"
      why  = "stock-taking"
    }
    freeze "audit" {
      from = "2026-11-01"
      to   = "2026-11-01"
      why  = "audit"
    }
  }
  silence "calm" {
    match = ["service=${service}"]
    for   = "5m"
  }
}
`

func withGates(t *testing.T) spec.Service {
	t.Helper()
	files := base(t)
	files["gates.hcl"] = &fstest.MapFile{Data: []byte(gated)}
	return service(t, compile(t, files, "prod"), "web")
}

func TestCompile_ReadsGatesOfAllKinds(t *testing.T) {
	t.Parallel()
	web := withGates(t)
	hour := spec.Duration(time.Hour)
	hold := func(after spec.Duration, then string, at ...string) spec.Hold {
		return spec.Hold{At: at, Owner: "security", Deadline: spec.Deadline{After: after, Then: then}}
	}
	want := []spec.Gate{
		{Name: "office", Kind: "window", Hold: hold(0, "", "switch"), Window: &spec.Window{
			Name: "office", Days: []string{"mon", "fri"}, From: "22:00", To: "04:00", TimeZone: "Europe/Berlin",
			Freezes: []spec.Freeze{
				{Name: "audit", From: "2026-11-01", To: "2026-11-01", Why: "audit"},
				{Name: "year-end", From: "2026-12-23T18:00", To: "2027-01-02", Why: "stock-taking"},
			},
		}},
		{Name: "check", Kind: "wait", Hold: hold(2*hour, "rollback", "weight"), Wait: &spec.WaitFor{
			Name: "check", Command: []string{"replicas-caught-up", "{{pool}}"}, Passing: 1, Status: 200,
			Every: hour / 60, Timeout: hour / 120, Remind: hour / 2,
		}},
		{Name: "migration", Kind: "wait", Hold: hold(24*hour, "halt", "switch"), Wait: &spec.WaitFor{
			Name: "migration", Key: "migrations/{{service}}/{{version}}", Value: "done", Passing: 1, Status: 200,
			Every: hour / 360, Timeout: hour / 360,
		}},
		{Name: "calm", Kind: "silence", Hold: hold(hour, "halt", "switch"), Silence: &spec.Silence{
			Name: "calm", Match: []string{"service={{service}}"}, For: hour / 12,
		}},
		{Name: "plain", Kind: "approval", Hold: hold(24*hour, "rollback", "switch"), Approval: &spec.Approval{Name: "plain", MinApprovers: 1}},
		{Name: "zeta", Kind: "approval", Hold: hold(3*hour, "rollback", "roll", "switched"), Approval: &spec.Approval{
			Name: "zeta", MinApprovers: 2, Approvers: []string{"ann", "bob"}, Expires: 2 * hour,
		}},
	}
	for i := range want {
		switch g := &want[i]; g.Kind {
		case spec.GateWindow:
			g.Window.Hold = g.Hold
		case spec.GateWait:
			g.Wait.Hold = g.Hold
		case spec.GateSilence:
			g.Silence.Hold = g.Hold
		case spec.GateApproval:
			g.Approval.Hold = g.Hold
		}
	}
	got := web.Gates()
	if len(got) != len(want) {
		t.Fatalf("got %d gates, want %d: %v", len(got), len(want), got)
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("got  %s\nwant %s", asJSON(t, got[i]), asJSON(t, want[i]))
		}
	}
}

func TestGatesAt_HasThoseOfEachStepBeforeTheSwitchToo(t *testing.T) {
	t.Parallel()
	web := withGates(t)
	if !slices.Equal(web.Weights, []int{5, 25}) {
		t.Errorf("weights: got %v, want those before the switch", web.Weights)
	}
	for point, want := range map[string]string{
		spec.PointRoll:     "zeta",
		spec.PointWeight:   "check",
		spec.PointSwitch:   "office check migration calm plain",
		spec.PointSwitched: "zeta",
	} {
		var got []string
		for _, g := range web.GatesAt(point) {
			got = append(got, g.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("at %s: got %v, want %s", point, got, want)
		}
	}
}

// An older version of switchd has compiled approvals to their names.
func TestGates_TakesApprovalsOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	var old spec.Service
	if err := json.Unmarshal([]byte(`{"name": "web", "approvals": [{"name": "release-owner"}], "deadlines": {"approval": {"after": "6h", "then": "halt"}}}`), &old); err != nil {
		t.Fatal(err)
	}
	gates := old.GatesAt(spec.PointSwitch)
	if len(gates) != 1 {
		t.Fatalf("gates before the switch: got %v, want one", gates)
	}
	if got, want := gates[0].Deadline, (spec.Deadline{After: spec.Duration(6 * time.Hour), Then: spec.ThenHalt}); got != want {
		t.Errorf("deadline: got %v, want %v", got, want)
	}
	if got := gates[0].Approval.MinApprovers; got != 1 {
		t.Errorf("approvers: got %d, want 1", got)
	}
}

func TestGate_SaysWhatItAsksFor(t *testing.T) {
	t.Parallel()
	web := withGates(t)
	var got []string
	for _, g := range web.Gates() {
		got = append(got, g.String())
	}
	want := []string{
		"mon, fri 22:00-04:00 Europe/Berlin, but for audit, but for year-end",
		"command replicas-caught-up {{pool}} exits with 0",
		`key migrations/{{service}}/{{version}} is "done"`,
		"no alert service={{service}} for 5m0s",
		"1 approver",
		"2 approvers of ann, bob",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCompile_BoundsTheGatesOfAService, those of policies among them.
func TestCompile_BoundsTheGatesOfAService(t *testing.T) {
	t.Parallel()
	for extra, want := range map[int]bool{0: true, 1: false} {
		var b strings.Builder
		for i := range spec.MaxGates - 1 {
			fmt.Fprintf(&b, "service \"web\" {\n  approval \"g%d\" {}\n}\n", i)
		}
		b.WriteString("policy \"p\" {\n")
		for i := range 1 + extra {
			fmt.Fprintf(&b, "  approval \"p%d\" {}\n", i)
		}
		files := base(t)
		files["gates.hcl"] = &fstest.MapFile{Data: []byte(b.String() + "}\n")}
		src, diags := spec.LoadFS(files)
		if !diags.HasErrors() {
			_, diags = src.Compile("prod")
		}
		if got := !diags.HasErrors(); got != want || !want && !strings.Contains(diags.Error(), "has 31 gates, with those of policies, and at most 30 are possible") {
			t.Errorf("%d gates too many: %v", extra, diags)
		}
	}
}
