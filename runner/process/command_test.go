package process

import (
	"strings"
	"testing"

	"switchd/runner"
	"switchd/runner/environ"
)

func TestEnvironment_InstanceCannotForgeItsIdentity(t *testing.T) {
	t.Parallel()
	inst := runner.Instance{ID: "web-blue", Version: "1", Env: map[string]string{
		environ.Instance: "other", "PATH": "/opt/bin", shimVar: "2:3", socketVar: "/s", "HOME": "/srv",
	}}
	got := strings.Join(environment(inst, account{env: map[string]string{"HOME": "/root", "USER": "web"}}), " ")
	if want := "HOME=/srv LANG=C.UTF-8 PATH=/opt/bin SWITCHD_INSTANCE=web-blue SWITCHD_VERSION=1 USER=web"; got != want {
		t.Errorf("environment is %q, want %q", got, want)
	}
}
