package spec_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"switchd/spec"
)

func TestDiff_TellsEachChangeOnALine(t *testing.T) {
	t.Parallel()
	old, next := base(t), base(t)
	old["policy.hcl"] = &fstest.MapFile{Data: []byte(`owner = "platform"

environment "prod" {
  vars = { domain = "apps.test" }
}

service "web" {
  bake = "1h"
  roll {
    quorum = 2
  }
  smoke "old" {}
  warmup {
    rate = 50
  }
  deadline "canary" {
    then = "rollback"
  }
}

service "db" {
  port = 5432
  pool "blue" {
    nodes = ["db-1", "db-2"]
  }
  pool "green" {
    nodes = ["db-3", "db-4"]
  }
  runtime "process" {
    command = ["./db"]
  }
}
`)}
	next["policy.hcl"] = &fstest.MapFile{Data: []byte(`owner = "platform"

environment "prod" {
  consul {
    address = "127.0.0.1:8500"
  }
}

service "web" {
  roll {
    quorum          = 1
    max_unavailable = 1 # the default
  }
  smoke "new" {
    path = "/<new>"
  }
  warmup {
    rate        = 60
    max_latency = "1s"
  }
  approval "release-owner" {}
}

service "web-api" {
  port = 9090
  pool "blue" {
    nodes = ["api-1", "api-2"]
  }
  pool "green" {
    nodes = ["api-3", "api-4"]
  }
  runtime "process" {
    command = ["./api"]
  }
}
`)}
	want := `+ environment.prod.consul.address  "127.0.0.1:8500"   (policy.hcl:5, owner platform)
- service.db
+ service.web.approval.release-owner   (policy.hcl:21, owner platform)
~ service.web.bake  "1h0m0s" -> "10m0s"
~ service.web.deadline.canary.then  "rollback" -> "halt"
~ service.web.roll.quorum  2 -> 1   (policy.hcl:11, owner platform)
+ service.web.smoke.new   (policy.hcl:14, owner platform)
- service.web.smoke.old
+ service.web.warmup.max_latency  "1s"   (policy.hcl:19, owner platform)
~ service.web.warmup.rate  50 -> 60   (policy.hcl:18, owner platform)
+ service.web-api
`
	if got := lines(spec.Diff(compile(t, old, "prod"), compile(t, next, "prod"))); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestDiff_TakesNothingForNothing(t *testing.T) {
	t.Parallel()
	desired := compile(t, base(t), "prod")
	if got, want := lines(spec.Diff(nil, desired)), "+ environment.prod\n+ service.web\n"; got != want {
		t.Errorf("from nothing: got %q, want %q", got, want)
	}
	if got, want := lines(spec.Diff(desired, nil)), "- environment.prod\n- service.web\n"; got != want {
		t.Errorf("to nothing: got %q, want %q", got, want)
	}
	if got := spec.Diff(nil, nil); len(got) != 0 {
		t.Errorf("nothing to nothing: got %v", got)
	}
}

func lines(changes []spec.Change) string {
	var b strings.Builder
	for _, c := range changes {
		b.WriteString(c.String() + "\n")
	}
	return b.String()
}
