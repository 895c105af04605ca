package spec_test

import (
	"reflect"
	"testing"
	"testing/fstest"
	"time"

	"switchd/spec"
)

func TestCompile_KnowsAllEnvironmentsInTheirOrder(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["more.hcl"] = &fstest.MapFile{Data: []byte(`
environment "prod" {
  after "staging" {
    for     = "2h"
    promote = true
  }
}
environment "staging" {
  vars = { dc = "dc-${env.name}" }
  after "dev" {}
  consul {
    address    = "127.0.0.1:8501"
    datacenter = env.vars.dc
  }
  zone "staging.test" {
    name_servers = ["ns1.staging.test"]
  }
  prometheus = "http://127.0.0.1:9090"
}
environment "dev" {}
environment "alone" {}
service "web" {
  environments = ["prod", "staging"]
}
`)}
	elsewhere := spec.Consul{Address: "127.0.0.1:8501", Datacenter: "dc-staging"}
	prod := compile(t, files, "prod").Environment
	peers := []spec.Peer{{Name: "alone"}, {Name: "dev"}, {Name: "staging", Consul: elsewhere, After: "dev"}, {Name: "prod", After: "staging"}}
	if !reflect.DeepEqual(prod.Peers, peers) {
		t.Errorf("peers: got %+v, want %+v", prod.Peers, peers)
	}
	want := &spec.Upstream{Environment: "staging", Consul: elsewhere, For: spec.Duration(2 * time.Hour), Promote: true}
	if !reflect.DeepEqual(prod.After, want) {
		t.Errorf("upstream: got %+v, want %+v", prod.After, want)
	}
	staging := compile(t, files, "staging").Environment
	if got, want := staging.After, (&spec.Upstream{Environment: "dev", For: spec.Duration(time.Hour)}); !reflect.DeepEqual(got, want) {
		t.Errorf("upstream of staging: got %+v, want %+v", got, want)
	}
	if first := compile(t, files, "dev").Environment; first.After != nil || first.Parallel != 4 {
		t.Errorf("the first environment: got %+v, want no upstream, and trains of four", first)
	}
}

func TestDiff_TellsAnotherUpstream(t *testing.T) {
	t.Parallel()
	old, next := base(t), base(t)
	old["more.hcl"] = &fstest.MapFile{Data: []byte("environment \"a\" {}\nenvironment \"b\" {}\nenvironment \"prod\" {\n  after \"a\" {}\n}\n")}
	next["more.hcl"] = &fstest.MapFile{Data: []byte("environment \"a\" {}\nenvironment \"b\" {}\nenvironment \"prod\" {\n  parallel = 2\n  after \"b\" {\n    promote = true\n  }\n}\n")}
	want := `~ environment.prod.after  "a" -> "b"   (more.hcl:5)
+ environment.prod.after.promote  true   (more.hcl:6)
~ environment.prod.parallel  4 -> 2   (more.hcl:4)
`
	if got := lines(spec.Diff(compile(t, old, "prod"), compile(t, next, "prod"))); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
