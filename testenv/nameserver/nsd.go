//go:build linux

package nameserver

import (
	"fmt"
	"path/filepath"
	"strings"
)

// nsdConfig writes a configuration for nsd.
func nsdConfig(o Options) (files map[string]string, args []string) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	path := func(name string) string { return filepath.Join(o.Dir, name) }
	line("server:")
	line("\tip-address: %s@%d", o.Addr.Addr(), o.Addr.Port())
	line("\tserver-count: %d", o.Workers)
	line("\tusername: \"\"\n\tchroot: \"\"\n\tdatabase: \"\"")
	line("\tzonesdir: %q", o.Dir)
	line("\tpidfile: \"\"\n\txfrdfile: %q\n\tzonelistfile: %q\n\txfrdir: %q", path("xfrd.state"), path("zone.list"), o.Dir)
	// What came by a transfer is served and written at once.
	line("\txfrd-reload-timeout: 0\n\tzonefiles-write: 1")
	line("\trrl-ratelimit: 0\n\trrl-whitelist-ratelimit: 0")
	line("\tverbosity: 1\n\tminimal-responses: %s", yesNo(o.Minimal))
	for _, extra := range o.Extra {
		line("\t%s", extra)
	}
	line("remote-control:\n\tcontrol-enable: no")
	for _, k := range o.Keys {
		line("key:\n\tname: %q\n\talgorithm: %s\n\tsecret: %q", k.Name, k.Algorithm, k.Secret)
	}
	for i, z := range o.Zones {
		line("zone:\n\tname: %q\n\tzonefile: %q", z.Origin, path(zoneFile(i)))
		for _, p := range z.Primaries {
			line("\trequest-xfr: %s@%d %s", p.Addr.Addr(), p.Addr.Port(), nsdKey(p.Key))
			line("\tallow-notify: %s %s", loopback, nsdKey(p.Key))
		}
		for _, p := range z.Notify {
			line("\tnotify: %s@%d %s", p.Addr.Addr(), p.Addr.Port(), nsdKey(p.Key))
		}
		line("\tprovide-xfr: %s %s\n\toutgoing-interface: %s", loopback, nsdKey(z.Key), o.Addr.Addr())
		line("\tmin-refresh-time: 1\n\tmin-retry-time: 1")
	}
	return map[string]string{"nsd.conf": b.String()}, []string{"-d", "-c", path("nsd.conf")}
}

func nsdKey(key string) string {
	if key == "" {
		return "NOKEY"
	}
	return key
}
