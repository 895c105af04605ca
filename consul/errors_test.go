package consul_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/testenv/devconsul"
)

func TestClient_TellsThatConsulIsAway(t *testing.T) {
	t.Parallel()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close() // nobody listens there any more
	c, err := consul.NewClient(consul.Flags{HTTPAddr: addr})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "k"); !errors.Is(err, consul.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
}

func TestClient_TellsThatARightIsMissing(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, map[string]any{"acl": map[string]any{
		"enabled": true, "default_policy": "deny", "tokens": map[string]any{"initial_management": "11111111-2222-3333-4444-555555555555"},
	}})
	nobody := server.Client()
	if _, err := nobody.NewSession(t.Context(), consul.SessionOptions{Name: "x", TTL: consul.MinSessionTTL}); !errors.Is(err, consul.ErrDenied) {
		t.Errorf("session: got %v, want ErrDenied", err)
	}
	if err := nobody.Txn(t.Context(), "write", consul.CAS("k", nil, 0)); !errors.Is(err, consul.ErrDenied) {
		t.Errorf("transaction: got %v, want ErrDenied", err)
	}
	manager, err := consul.NewClient(consul.Flags{HTTPAddr: server.Addr(), Token: "11111111-2222-3333-4444-555555555555"})
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.Txn(t.Context(), "write", consul.CAS("k", nil, 0)); err != nil {
		t.Errorf("with the right: %v", err)
	}
	if who := manager.Identity(t.Context()); who == "" {
		t.Error("the token's owner is not known")
	}
	_, _, err = manager.API().ACL().PolicyList(&api.QueryOptions{})
	if err != nil {
		t.Error(err)
	}
}

func TestClient_SaysInWordsWhatConsulAnswered(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		code int
		body string
		want string
		kind error
	}{
		"NoLeader": {http.StatusInternalServerError, "No cluster leader", "read k: Consul can't be reached: Consul answered 500: No cluster leader", consul.ErrUnreachable},
		"Denied": {
			http.StatusForbidden, "Permission denied: token lacks permission 'key:read' on \"k\"\n",
			"read k: permission denied by Consul's ACL: Consul answered 403: token lacks permission 'key:read' on \"k\"", consul.ErrDenied,
		},
		"Another": {http.StatusTooManyRequests, "rate limit exceeded", "read k: Consul answered 429: rate limit exceeded", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, test.body, test.code)
			}))
			defer server.Close()
			client, err := consul.NewClient(consul.Flags{HTTPAddr: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Get(t.Context(), "k")
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if test.kind != nil && !errors.Is(err, test.kind) {
				t.Errorf("%v is not %v", err, test.kind)
			}
		})
	}
}
