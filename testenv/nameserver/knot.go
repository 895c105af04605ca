//go:build linux

package nameserver

import (
	"fmt"
	"path/filepath"
	"strings"
)

// knotConfig writes a configuration for knotd.
func knotConfig(o Options) (files map[string]string, args []string) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("server:")
	line("  rundir: %q\n  listen: %s@%d", o.Dir, o.Addr.Addr(), o.Addr.Port())
	line("  udp-workers: %d\n  tcp-workers: %[1]d\n  background-workers: %[1]d", o.Workers)
	for _, extra := range o.Extra {
		line("  %s", extra)
	}
	line("control:\n  listen: %q", filepath.Join(o.Dir, "knot.sock"))
	line("database:\n  storage: %q", o.Dir)
	// The defaults are gigabytes of address space.
	line("  journal-db-max-size: 256M\n  kasp-db-max-size: 32M\n  timer-db-max-size: 32M\n  catalog-db-max-size: 32M")
	line("log:\n  - target: stderr\n    any: info")
	if len(o.Keys) > 0 {
		line("key:")
	}
	for _, k := range o.Keys {
		line("  - id: %s\n    algorithm: %s\n    secret: %s", k.Name, k.Algorithm, k.Secret)
	}
	knotRemotes(line, o)
	line("acl:")
	for i, z := range o.Zones {
		action := "[transfer]"
		if z.Update {
			action = "[transfer, update]"
		}
		knotACL(line, fmt.Sprintf("zone%d", i), z.Key, action)
		if len(z.Primaries) > 0 {
			knotACL(line, fmt.Sprintf("notify%d", i), z.Primaries[0].Key, "[notify]")
		}
	}
	line("zone:")
	for i, z := range o.Zones {
		line("  - domain: %q\n    file: %q", z.Origin, filepath.Join(o.Dir, zoneFile(i)))
		line("    refresh-min-interval: 2\n    retry-min-interval: 1")
		acls := []string{fmt.Sprintf("zone%d", i)}
		if len(z.Primaries) > 0 {
			acls = append(acls, fmt.Sprintf("notify%d", i))
			line("    master: [%s]", knotIDs(i, "primary", len(z.Primaries)))
		}
		if len(z.Notify) > 0 {
			line("    notify: [%s]", knotIDs(i, "notify", len(z.Notify)))
		}
		line("    acl: [%s]", strings.Join(acls, ", "))
	}
	return map[string]string{"knot.conf": b.String()}, []string{"-c", filepath.Join(o.Dir, "knot.conf")}
}

func knotRemotes(line func(string, ...any), o Options) {
	var some bool
	for i, z := range o.Zones {
		for role, peers := range map[string][]Peer{"primary": z.Primaries, "notify": z.Notify} {
			for j, p := range peers {
				if !some {
					line("remote:")
					some = true
				}
				line("  - id: %s%d_%d\n    address: %s@%d\n    via: %s", role, i, j, p.Addr.Addr(), p.Addr.Port(), o.Addr.Addr())
				if p.Key != "" {
					line("    key: %s", p.Key)
				}
			}
		}
	}
}

func knotACL(line func(string, ...any), id, key, action string) {
	line("  - id: %s\n    address: %s\n    action: %s", id, loopback, action)
	if key != "" {
		line("    key: %s", key)
	}
}

func knotIDs(zone int, role string, n int) string {
	ids := make([]string, n)
	for j := range ids {
		ids[j] = fmt.Sprintf("%s%d_%d", role, zone, j)
	}
	return strings.Join(ids, ", ")
}
