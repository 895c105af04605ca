package environ_test

import (
	"slices"
	"testing"

	"switchd/runner"
	"switchd/runner/environ"
)

func TestList_LetsLaterLayersGoOverEarlierOnes(t *testing.T) {
	t.Parallel()
	inst := runner.Instance{ID: "web-blue", Version: "1.4.2", Env: map[string]string{
		"LANG": "de", "A": "b=c", environ.Version: "9", "EMPTY": "",
	}}
	got := environ.List(environ.Minimal(), inst.Env, nil, environ.Identity(inst))
	want := []string{"A=b=c", "EMPTY=", "LANG=de", "PATH=" + environ.Path, "SWITCHD_INSTANCE=web-blue", "SWITCHD_VERSION=1.4.2"}
	if !slices.Equal(got, want) {
		t.Errorf("environment is %q, want %q", got, want)
	}
	if inst.Env[environ.Version] != "9" {
		t.Error("the instance's own map was changed")
	}
}

func TestPathOf_IsTheInstancesOwnAlsoWhenEmpty(t *testing.T) {
	t.Parallel()
	for want, env := range map[string]map[string]string{environ.Path: nil, "/opt/bin": {"PATH": "/opt/bin"}, "": {"PATH": ""}} {
		if got := environ.PathOf(runner.Instance{Env: env}); got != want {
			t.Errorf("PATH of %v is %q, want %q", env, got, want)
		}
	}
}
