//go:build linux

package nameserver

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// bindConfig writes a configuration for named.
func bindConfig(o Options) (files map[string]string, args []string) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("options {")
	line("\tdirectory %q;", o.Dir)
	line("\tpid-file none; session-keyfile %q; lock-file none;", filepath.Join(o.Dir, "session.key"))
	line("\tlisten-on port %d { %s; }; listen-on-v6 { none; };", o.Addr.Port(), o.Addr.Addr())
	line("\tnotify-source %s; transfer-source %[1]s;", o.Addr.Addr())
	line("\trecursion no; dnssec-validation no; empty-zones-enable no; notify explicit; notify-delay 0;")
	line("\tserial-query-rate 1000; min-refresh-time 1; min-retry-time 1; max-journal-size 1m;")
	line("\tminimal-responses %s;", yesNo(o.Minimal))
	for _, extra := range o.Extra {
		line("\t%s", extra)
	}
	line("};\ncontrols { };")
	for _, k := range o.Keys {
		b.WriteString(k.Clause())
	}
	for i, z := range o.Zones {
		line("zone %q {", z.Origin)
		line("\tfile %q;", zoneFile(i))
		if len(z.Primaries) > 0 {
			line("\ttype secondary; masterfile-format text;")
			line("\tprimaries { %s };", bindPeers(z.Primaries))
			line("\tallow-notify { %s };", bindAllow(z.Primaries[0].Key))
		} else {
			line("\ttype primary;")
		}
		line("\tallow-transfer { %s };", bindAllow(z.Key))
		if z.Update {
			line("\tallow-update { %s };", bindAllow(z.Key))
		}
		if len(z.Notify) > 0 {
			line("\talso-notify { %s };", bindPeers(z.Notify))
		}
		line("};")
	}
	return map[string]string{"named.conf": b.String()},
		[]string{"-g", "-4", "-n", strconv.Itoa(o.Workers), "-c", filepath.Join(o.Dir, "named.conf")}
}

func bindPeers(peers []Peer) string {
	var b strings.Builder
	for _, p := range peers {
		fmt.Fprintf(&b, "%s port %d", p.Addr.Addr(), p.Addr.Port())
		if p.Key != "" {
			fmt.Fprintf(&b, " key %q", p.Key)
		}
		b.WriteString("; ")
	}
	return b.String()
}

func bindAllow(key string) string {
	if key == "" {
		return loopback + ";"
	}
	return fmt.Sprintf("key %q;", key)
}

// loopback is the network that everything here happens in.
const loopback = "127.0.0.0/8"

// zoneFile is the name of the file of the zone with an index.
func zoneFile(i int) string { return fmt.Sprintf("%d.zone", i) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
