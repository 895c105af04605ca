package spec_test

import (
	"testing"
	"testing/fstest"
	"time"

	"switchd/spec"
)

// led is the service web of testdata/base with more of a switch.
func led(t *testing.T, more string) *spec.Desired {
	t.Helper()
	files := base(t)
	files["more.hcl"] = &fstest.MapFile{Data: []byte("service \"web\" {\n" + more + "\n}\n")}
	return compile(t, files, "prod")
}

func TestSwitch_IsByDNSInTheMeshOrByBoth(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more  string
		named bool
		mesh  *spec.Mesh
	}{
		"nothing said":    {"", true, nil},
		"a name":          {`switch "dns" {}`, true, nil},
		"the mesh":        {`switch "resolver" {}`, false, &spec.Mesh{Service: "web"}},
		"both":            {"switch \"resolver\" {\nservice = \"shop\"\n}\nswitch \"dns\" {\nname = \"shop\"\n}", true, &spec.Mesh{Service: "shop"}},
		"weights":         {"weights = [5]\nswitch \"resolver\" {}", false, &spec.Mesh{Service: "web", Protocol: "http"}},
		"weights of gRPC": {"weights = [5]\nswitch \"resolver\" {\nprotocol = \"grpc\"\n}", false, &spec.Mesh{Service: "web", Protocol: "grpc"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := led(t, c.more).Services[0]
			if s.Switch.Named() != c.named || (s.Mesh == nil) != (c.mesh == nil) || s.Mesh != nil && *s.Mesh != *c.mesh {
				t.Errorf("got %+v and %+v", s.Switch, s.Mesh)
			}
			if !c.named && (s.Switch.Kind != "" || s.Switch.TTL != 0 || s.Switch.Settles() != 0) {
				t.Errorf("without a name it has %+v, which settles after %s", s.Switch, s.Switch.Settles())
			}
		})
	}
}

func TestSwitch_InTheMeshAloneNeedsNoZone(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["environment.hcl"] = &fstest.MapFile{Data: []byte(`environment "prod" {}`)}
	files["more.hcl"] = &fstest.MapFile{Data: []byte("service \"web\" {\nswitch \"resolver\" {}\n}")}
	if s := compile(t, files, "prod").Services[0]; s.LedFor() != time.Second {
		t.Errorf("proxies have %s to be told", s.LedFor())
	}
}

func TestDiff_TellsTheTwoKindsOfSwitchesApart(t *testing.T) {
	t.Parallel()
	dns, mesh := "switch \"dns\" {\nname = \"shop\"\n}", "switch \"resolver\" {\nprotocol = \"http\"\n}"
	for name, c := range map[string]struct{ old, next, want string }{
		"one more": {dns, dns + "\n" + mesh, "+ service.web.switch.resolver   (more.hcl:5)\n"},
		"one less": {dns + "\n" + mesh, dns, "- service.web.switch.resolver\n"},
		"another":  {dns, mesh, "- service.web.switch  \"dns\"\n+ service.web.switch.resolver   (more.hcl:2)\n"},
		"changed":  {mesh, "switch \"resolver\" {\nprotocol = \"grpc\"\n}", "~ service.web.switch.resolver.protocol  \"http\" -> \"grpc\"   (more.hcl:3)\n"},
	} {
		if got := lines(spec.Diff(led(t, c.old), led(t, c.next))); got != c.want {
			t.Errorf("%s: got\n%swant\n%s", name, got, c.want)
		}
	}
}
