package spec_test

import (
	"reflect"
	"testing"
	"testing/fstest"

	"switchd/spec"
)

// A service that declares alerts has those and no others.
func TestAlertsInForce_AreTheDeclaredOnesOrThoseThatNameTheService(t *testing.T) {
	t.Parallel()
	files := base(t)
	web := compile(t, files, "prod").Services[0]
	want := []spec.Alert{{Name: "default", Match: []string{"service=web", `environment=~"|prod"`, `severity=~"|critical|page"`}, Then: spec.ThenHalt}}
	if got := web.AlertsInForce("prod"); !reflect.DeepEqual(got, want) {
		t.Errorf("without any: got %+v, want %+v", got, want)
	}
	files["alerts.hcl"] = &fstest.MapFile{Data: []byte(`
		environment "prod" {
		  alerts {
		    alertmanager = ["http://127.0.0.1:9093"]
		  }
		}
		service "web" {
		  alert "b" {
		    match = ["team=~\"web|edge\"", "pool=${pool}", "environment=${env.name}"]
		    then  = "rollback"
		  }
		  alert "a" {
		    match                = ["service=${service}"]
		    resume_when_resolved = true
		  }
		}
	`)}
	desired := compile(t, files, "prod")
	want = []spec.Alert{
		{Name: "a", Match: []string{"service={{service}}"}, Then: spec.ThenHalt, Resume: true},
		{Name: "b", Match: []string{`team=~"web|edge"`, "pool={{pool}}", "environment=prod"}, Then: spec.ThenRollback},
	}
	if got := desired.Services[0].AlertsInForce("prod"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := desired.Environment.Alerts.Every.Std().String(), "15s"; got != want {
		t.Errorf("asked every %s, want %s", got, want)
	}
}
