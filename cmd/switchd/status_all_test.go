package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"switchd/consul"
	"switchd/ledger"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestStatusAll_WatchesOverTheSameConnections looks at two environments as often
// as --watch does in half a minute. Consul takes 200 connections of one address.
func TestStatusAll_WatchesOverTheSameConnections(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	staging := spec.Peer{Name: "staging"}
	for _, name := range []string{"staging", "prod"} {
		put(t, server.Client(), consul.Keys{Env: name}.Environment(), spec.Environment{
			Name: name, Peers: []spec.Peer{staging, {Name: "prod", After: "staging"}},
		})
	}
	own, other := startWay(t, server.Addr()), startWay(t, server.Addr())
	client, err := consul.NewClient(consul.Flags{HTTPAddr: own.address()})
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	keepToken := func(text string) {
		t.Helper()
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keepToken("first")
	var out strings.Builder
	a := &app{ctx: t.Context(), stdout: &out, stderr: io.Discard, flags: &cli{}}
	l := &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: "prod"}}
	c := &statusCmd{acrossFlags: acrossFlags{
		All: true, EnvAddr: map[string]string{"staging": other.address()}, EnvTokenFile: map[string]string{"staging": token},
	}}
	show := c.show(a, l)
	looks := func(times int) string {
		t.Helper()
		out.Reset()
		for range times {
			if err := show(); err != nil {
				t.Fatal(err)
			}
		}
		return out.String()
	}
	const ticks, most = 30, 20
	if text := looks(ticks); strings.Contains(text, "can't be read") {
		t.Errorf("it was shown\n%s", text)
	}
	for name, w := range map[string]*way{"prod": own, "staging": other} {
		if open, tokens := w.now(); open < 1 || open > most {
			t.Errorf("%d connections to the Consul of %s are open after %d looks, with the tokens %q", open, name, ticks, tokens)
		}
	}

	// What is changed meanwhile counts from the next look on.
	keepToken("second")
	looks(1)
	if _, tokens := other.now(); !slices.Equal(tokens, []string{"first", "second"}) {
		t.Errorf("staging was shown the tokens %q", tokens)
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	if text := looks(1); !strings.Contains(text, "staging can't be read: open the token: ") {
		t.Errorf("without the token's file, it was shown\n%s", text)
	}
	put(t, server.Client(), l.Keys.Environment(), spec.Environment{Name: "prod", Peers: []spec.Peer{
		staging, {Name: "prod", After: "staging"}, {Name: "dr", After: "prod", Consul: spec.Consul{Address: "127.0.0.1:1"}},
	}})
	if text := looks(1); !strings.Contains(text, "dr can't be read: ") {
		t.Errorf("with one more environment, it was shown\n%s", text)
	}
}

// way leads to a Consul and sees what goes along it.
type way struct {
	*httptest.Server

	mu     sync.Mutex
	open   map[net.Conn]bool
	tokens []string // that were shown, each once
}

func startWay(t *testing.T, to string) *way {
	t.Helper()
	w := &way{open: make(map[net.Conn]bool)}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: to})
		w.mu.Lock()
		defer w.mu.Unlock()
		if token := r.In.Header.Get("X-Consul-Token"); !slices.Contains(w.tokens, token) {
			w.tokens = append(w.tokens, token)
		}
		r.Out.Header.Del("X-Consul-Token") // which it does not know
	}}
	w.Server = httptest.NewUnstartedServer(proxy)
	w.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch state {
		case http.StateNew:
			w.open[conn] = true
		case http.StateClosed, http.StateHijacked:
			delete(w.open, conn)
		case http.StateActive, http.StateIdle:
		}
	}
	w.Start()
	t.Cleanup(w.Close)
	return w
}

func (w *way) address() string { return w.Listener.Addr().String() }

// now tells how many connections are open, and what tokens were shown.
func (w *way) now() (int, []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open), slices.Clone(w.tokens)
}
