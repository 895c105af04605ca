package consul_test

import (
	"errors"
	"net"
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
