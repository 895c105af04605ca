package smoke

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// dnsTimeout bounds the question to one DNS server, so that a dead one leaves
// time to ask the next.
const dnsTimeout = time.Second

// ThroughDNS returns a dialer that resolves names by the given DNS servers
// (host:port, port 53 if there is none) instead of the machine's resolver. The
// first server that answers with addresses is believed. So a check can go
// through a pool's name before any cache knows it.
func ThroughDNS(servers []string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		var dialer net.Dialer
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, fmt.Errorf("split address %q: %w", addr, err)
		}
		if _, err := netip.ParseAddr(host); err == nil {
			return dialer.DialContext(ctx, network, addr)
		}
		ips, err := resolve(ctx, servers, host)
		if err != nil {
			return nil, err
		}
		var errs []error
		for _, ip := range ips {
			conn, err := dialer.DialContext(ctx, network, net.JoinHostPort(ip, port))
			if err == nil {
				return conn, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
}

// resolve asks the servers in turn for the addresses of host.
func resolve(ctx context.Context, servers []string, host string) ([]string, error) {
	if len(servers) == 0 {
		return nil, fmt.Errorf("resolve %s: no DNS server is configured", host)
	}
	if !strings.HasSuffix(host, ".") {
		host += "." // absolute, so that no search domain is appended
	}
	var errs []error
	for _, server := range servers {
		ips, err := ask(ctx, server, host)
		if err == nil {
			return ips, nil
		}
		errs = append(errs, fmt.Errorf("resolve %s by %s: %w", host, server, err))
	}
	return nil, errors.Join(errs...)
}

func ask(ctx context.Context, server, host string) ([]string, error) {
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "53")
	}
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	resolver := net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server)
		},
	}
	return resolver.LookupHost(ctx, host)
}
