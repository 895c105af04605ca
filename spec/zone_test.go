package spec_test

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"switchd/spec"
)

// zoned are files with a zone block of these lines and a zone file.
func zoned(lines, file string) fstest.MapFS {
	return fstest.MapFS{
		"environment.hcl": {Data: []byte("environment \"prod\" {\n  zone \"apps.test\" {\n" + lines + "\n  }\n}\n")},
		"zones/apps.zone": {Data: []byte(file)},
	}
}

func TestCompile_TakesFromTheZoneFileWhatTheInputsLeaveOut(t *testing.T) {
	t.Parallel()
	const file = `$TTL 300
@   SOA ns2 dns\.team.example.net. 7 1h 600 2w 60
@   NS  NS1
@   NS  ns2.apps.test.
@   NS  ns.example.net.
www A   192.0.2.1
`
	desired := compile(t, zoned(`file = "zones/apps.zone"`, file), "prod")
	sum := sha256.Sum256([]byte(file))
	want := spec.Zone{
		Name: "apps.test", NameServers: []string{"ns2.apps.test", "ns.example.net", "ns1.apps.test"}, Admin: "dns.team@example.net",
		TTL: spec.Duration(time.Minute), NegativeTTL: spec.Duration(time.Minute),
		Refresh: spec.Duration(time.Hour), Retry: spec.Duration(10 * time.Minute), Expire: spec.Duration(14 * 24 * time.Hour),
		File: &spec.ZoneFile{Name: "zones/apps.zone", SHA256: hex.EncodeToString(sum[:])},
	}
	if got := *desired.Environment.Zone; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if string(desired.ZoneFile) != file {
		t.Errorf("the text of the file: got %q", desired.ZoneFile)
	}
	// To say the same in both is no contradiction, in any order.
	same := compile(t, zoned(`
file         = "zones/apps.zone"
name_servers = ["ns1.apps.test", "ns2.apps.test", "ns.example.net"]
admin        = "dns.team@example.net"
retry        = "10m"`, file), "prod")
	if got := *same.Environment.Zone; !reflect.DeepEqual(got, want) {
		t.Errorf("said twice: got  %+v\nwant %+v", got, want)
	}
}

func TestCompile_NeedsNoSOAInTheZoneFile(t *testing.T) {
	t.Parallel()
	desired := compile(t, zoned("file = \"zones/apps.zone\"\nname_servers = [\"ns1.apps.test\"]\nexpire = \"48h\"", "www 60 A 192.0.2.1\n"), "prod")
	zone := desired.Environment.Zone
	if !slices.Equal(zone.NameServers, []string{"ns1.apps.test"}) || zone.Admin != "hostmaster@apps.test" || zone.Expire != spec.Duration(48*time.Hour) {
		t.Errorf("got %+v", zone)
	}
}

func TestCompile_BoundsTheZoneFile(t *testing.T) {
	t.Parallel()
	files := zoned(`file = "zones/apps.zone"`, strings.Repeat("; too long\n", spec.MaxZoneFile/len("; too long\n")+1))
	src, diags := spec.LoadFS(files)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if _, diags := src.Compile("prod"); !strings.Contains(diags.Error(), "larger than 16777216 bytes") {
		t.Errorf("got %v", diags)
	}
}

func TestCompile_TellsAChangedZoneFile(t *testing.T) {
	t.Parallel()
	lines := "file = \"zones/apps.zone\"\nname_servers = [\"ns1.apps.test\"]"
	old, next := compile(t, zoned(lines, "www 60 A 192.0.2.1\n"), "prod"), compile(t, zoned(lines, "www 60 A 192.0.2.2\n"), "prod")
	changes := spec.Diff(old, next)
	if len(changes) != 1 || !strings.HasSuffix(changes[0].Path, "zone.file") {
		t.Errorf("got %v, want one change of the file", changes)
	}
}

func TestCompile_ReadsWhoCopiesAZoneAndWhoMustShowASwitch(t *testing.T) {
	t.Parallel()
	zone := compile(t, zoned(`
name_servers     = ["ns1.apps.test"]
transfer         = ["192.0.2.0/24", "2001:db8::1", "key:xfer"]
verify_resolvers = ["192.0.2.1", "2001:db8::53", "192.0.2.2:5353"]
secondary "[2001:db8::2]:53" {}
secondary "192.0.2.53:53" { key = "xfer" }`, ""), "prod").Environment.Zone
	if want := []spec.Secondary{{Address: "192.0.2.53:53", Key: "xfer"}, {Address: "[2001:db8::2]:53"}}; !slices.Equal(zone.Secondaries, want) {
		t.Errorf("secondaries: got %v, want %v", zone.Secondaries, want)
	}
	if want := []string{"192.0.2.0/24", "2001:db8::1", "key:xfer"}; !slices.Equal(zone.Transfer, want) {
		t.Errorf("transfer: got %v, want %v", zone.Transfer, want)
	}
	if want := []string{"192.0.2.1:53", "[2001:db8::53]:53", "192.0.2.2:5353"}; !slices.Equal(zone.VerifyResolvers, want) {
		t.Errorf("resolvers: got %v, want %v", zone.VerifyResolvers, want)
	}
	if signed := compile(t, zoned("name_servers = [\"ns1.apps.test\"]\ndnssec = true", ""), "prod").Environment.Zone; !signed.DNSSEC {
		t.Error("it is not signed")
	}
}

func TestCompile_ReadsEachKindOfSwitch(t *testing.T) {
	t.Parallel()
	targets := map[string]string{spec.Blue: "b.example.net", spec.Green: "g.example.net"}
	for name, c := range map[string]struct {
		block string
		want  spec.Switch
		pool  string // label of its pools
	}{
		"short TTL": {
			`switch "dns" { ttl = "2s" }`,
			spec.Switch{Kind: spec.SwitchDNS, Name: "web", TTL: spec.Duration(2 * time.Second), ArmedTTL: spec.Duration(2 * time.Second)}, "web",
		},
		"apex": {
			`switch "dns" { name = "@" }`,
			spec.Switch{Kind: spec.SwitchDNS, Name: "@", TTL: spec.Duration(time.Minute), ArmedTTL: spec.Duration(5 * time.Second)}, "web",
		},
		"targets": {
			"switch \"dns\" {\nname = \"shop\"\ntargets = { blue = \"b.example.net\", green = \"g.example.net\" }\n}",
			spec.Switch{Kind: spec.SwitchDNS, Name: "shop", TTL: spec.Duration(time.Minute), ArmedTTL: spec.Duration(5 * time.Second), Targets: targets}, "shop",
		},
		"update": {
			"switch \"dns-update\" {\nname = \"www.eu\"\nserver = \"192.0.2.53:53\"\nzone = \"example.net\"\nkey = \"switchd.key\"\narmed_ttl = \"1s\"\n" +
				"targets = { blue = \"b.example.net\", green = \"g.example.net\" }\n}",
			spec.Switch{
				Kind: spec.SwitchDNSUpdate, Name: "www.eu", TTL: spec.Duration(time.Minute), ArmedTTL: spec.Duration(time.Second),
				Targets: targets, Server: "192.0.2.53:53", Zone: "example.net", Key: "switchd.key",
			}, "www.eu",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := base(t)
			files["more.hcl"] = &fstest.MapFile{Data: []byte("service \"web\" {\n" + c.block + "\n}\n")}
			got := service(t, compile(t, files, "prod"), "web").Switch
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if label := got.PoolName("web"); label != c.pool {
				t.Errorf("its pools begin with %q, want %q", label, c.pool)
			}
		})
	}
}

func TestCompile_UpdatesAnotherZoneWithoutOneOfItsOwn(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["environment.hcl"] = &fstest.MapFile{Data: []byte("environment \"prod\" {}\n")}
	files["more.hcl"] = &fstest.MapFile{Data: []byte(`service "web" {
  switch "dns-update" {
    server  = "192.0.2.53:53"
    zone    = "example.net"
    key     = "switchd"
    targets = { blue = "b.example.net", green = "g.example.net" }
  }
}
`)}
	if got := service(t, compile(t, files, "prod"), "web").Switch.FQDN("example.net"); got != "web.example.net" {
		t.Errorf("it switches %s", got)
	}
}
