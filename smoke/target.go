package smoke

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"switchd/spec"
)

// DialFunc opens a connection, as [net.Dialer.DialContext] does.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Target is one place where the checks are done: a node, or a pool by its
// name.
type Target struct {
	Name string
	// URL is the base that a check's path is appended to, such as
	// http://10.0.0.2:8080.
	URL string
	// Host is sent as the Host header, and as the server's name in TLS. Empty
	// means the host of the URL.
	Host string
	// Addr is how people know the place; it is only shown. Empty means the
	// host and port of the URL.
	Addr string
	// Dial opens the connections. Nil means a plain dialer.
	Dial DialFunc
}

// String names the target for a person: "web-g2 (10.0.0.2:8080)".
func (t Target) String() string {
	addr := t.Addr
	if u, err := url.Parse(t.URL); err == nil && addr == "" {
		addr = u.Host
	}
	switch addr {
	case "", t.Name:
		return t.Name
	}
	return fmt.Sprintf("%s (%s)", t.Name, addr)
}

// vars returns the variables as they are on this target: what the caller left
// open about the node is taken from the target.
func (t Target) vars(v spec.Vars) spec.Vars {
	if v.Node == "" {
		v.Node = t.Name
	}
	if u, err := url.Parse(t.URL); err == nil {
		if v.Address == "" {
			v.Address = u.Hostname()
		}
		if v.Port == "" {
			v.Port = u.Port()
		}
	}
	return v
}

// client returns an HTTP client of its own for the target. It keeps no
// connection, so every try shows what a new user would meet, uses no proxy, and
// hands redirects out as the answers that they are.
func (t Target) client() *http.Client {
	transport := &http.Transport{
		DialContext:            t.Dial,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeader,
	}
	if t.Host != "" {
		name := t.Host
		if host, _, err := net.SplitHostPort(t.Host); err == nil {
			name = host
		}
		transport.TLSClientConfig = &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
