//go:build linux

package nameserver

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"switchd/testenv/proc"
)

// ResolverOptions say how a resolver runs. It asks nobody but the name
// servers that are named here.
type ResolverOptions struct {
	Addr netip.AddrPort // as in Options
	Dir  string         // as in Options
	Wrap []string       // as in Options
	// Stubs are the name servers of zones; they are asked without RD.
	Stubs map[string][]netip.AddrPort
	// Forwards are the resolvers to ask for zones; they are asked with RD.
	Forwards map[string][]netip.AddrPort
	// TrustAnchors are DS or DNSKEY records; with any, answers are validated.
	TrustAnchors []string
	// Extra are further lines of the server section.
	Extra []string
}

// StartResolver starts Unbound in the group and returns when it answers. The
// context bounds the wait; the resolver lives until Stop or until the group
// is closed.
func StartResolver(ctx context.Context, group *proc.Group, o ResolverOptions) (*Server, error) {
	if !o.Addr.IsValid() {
		var err error
		if o.Addr, err = freePort(ctx, someLoopback()); err != nil {
			return nil, fmt.Errorf("start Unbound: %w", err)
		}
	}
	return start(ctx, group, "Unbound", program{"unbound", "unbound"}, o.Addr, o.Dir, o.Wrap,
		func(dir string) (map[string]string, []string) {
			o.Dir = dir
			return unboundConfig(o)
		}, answers)
}

// unboundConfig writes a configuration for unbound.
func unboundConfig(o ResolverOptions) (files map[string]string, args []string) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	modules := "iterator"
	if len(o.TrustAnchors) > 0 {
		modules = "validator iterator"
	}
	line("server:")
	line("\tinterface: %s@%d\n\taccess-control: %s allow", o.Addr.Addr(), o.Addr.Port(), loopback)
	line("\tdirectory: %q\n\tchroot: \"\"\n\tusername: \"\"\n\tpidfile: \"\"", o.Dir)
	line("\tdo-daemonize: no\n\tuse-syslog: no\n\tlogfile: \"\"\n\tnum-threads: 1\n\tdo-ip6: no")
	line("\tdo-not-query-localhost: no\n\toutgoing-interface: %s", o.Addr.Addr())
	line("\tmodule-config: %q\n\ttrust-anchor-signaling: no\n\troot-key-sentinel: no", modules)
	// The special names of RFC 6761 are ordinary here.
	for _, zone := range []string{"test.", "invalid.", "127.in-addr.arpa.", "localhost."} {
		line("\tlocal-zone: %q nodefault", zone)
	}
	for _, anchor := range o.TrustAnchors {
		line("\ttrust-anchor: %q", anchor)
	}
	for _, extra := range o.Extra {
		line("\t%s", extra)
	}
	line("remote-control:\n\tcontrol-enable: no")
	for _, kind := range []struct {
		name  string
		zones map[string][]netip.AddrPort
	}{{"stub", o.Stubs}, {"forward", o.Forwards}} {
		for _, zone := range slices.Sorted(maps.Keys(kind.zones)) {
			line("%s-zone:\n\tname: %q", kind.name, zone)
			for _, addr := range kind.zones[zone] {
				line("\t%s-addr: %s@%d", kind.name, addr.Addr(), addr.Port())
			}
		}
	}
	return map[string]string{"unbound.conf": b.String()}, []string{"-d", "-c", filepath.Join(o.Dir, "unbound.conf")}
}
