package intercept_test

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/goleak"

	"switchd/consul"
	"switchd/testenv/devconsul"
	"switchd/testenv/intercept"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// through gives a client whose requests go through a proxy.
func through(t *testing.T, p *intercept.Proxy) *consul.Client {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running := p.Serve(listener)
	t.Cleanup(func() {
		if err := running.Close(); err != nil {
			t.Error(err)
		}
	})
	client, err := consul.NewClient(consul.Flags{HTTPAddr: listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestProxy_SeesAndCutsWhatIsSaid(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	direct := server.Client()
	var before, after, txns atomic.Int64
	var lose, hide atomic.Bool
	client := through(t, &intercept.Proxy{
		To: server.Addr(),
		Before: func(c *intercept.Call) bool {
			if c.Writes() {
				before.Add(1)
			}
			return !lose.Load()
		},
		After: func(c *intercept.Call) bool {
			after.Add(1)
			ops, ok := c.Txn()
			if !ok {
				return true
			}
			txns.Add(1)
			if len(ops) != 1 || ops[0].Key != "key" || ops[0].Verb != api.KVCAS || c.Returned.Before(c.Sent) {
				t.Errorf("saw %+v", ops)
			}
			if done := ops[0].Written > 0; done == ops[0].Failed {
				t.Errorf("saw an operation that was both done and refused, or neither: %+v", ops[0])
			}
			return !hide.Load()
		},
	})
	if err := client.Txn(t.Context(), "write", consul.CAS("key", []byte("one"), 0)); err != nil {
		t.Fatal(err)
	}
	if err := client.Txn(t.Context(), "write", consul.CAS("key", []byte("two"), 0)); !errors.Is(err, consul.ErrConflict) {
		t.Fatalf("a conflict came through as %v", err)
	}
	entry, err := client.Get(t.Context(), "key")
	if err != nil || string(entry.Value) != "one" {
		t.Fatalf("read %+v (%v)", entry, err)
	}
	lose.Store(true)
	if err := client.Txn(t.Context(), "write", consul.CAS("key", []byte("three"), entry.Index)); err == nil {
		t.Error("a request that was cut off had an answer")
	}
	if now, err := direct.Get(t.Context(), "key"); err != nil || now.Index != entry.Index {
		t.Errorf("what was cut off was done: %+v (%v)", now, err)
	}
	lose.Store(false)
	hide.Store(true)
	if err := client.Txn(t.Context(), "write", consul.CAS("key", []byte("four"), entry.Index)); err == nil {
		t.Error("an answer that was cut off came through")
	}
	if now, err := direct.Get(t.Context(), "key"); err != nil || string(now.Value) != "four" {
		t.Errorf("what was passed on was not done: %+v (%v)", now, err)
	}
	if before.Load() != 4 || txns.Load() != 3 || after.Load() < 4 {
		t.Errorf("saw %d writes coming and %d transactions of %d calls going", before.Load(), txns.Load(), after.Load())
	}
}

func TestProxy_TellsWhatWasNeverSent(t *testing.T) {
	t.Parallel()
	seen := make(chan intercept.Call, 1)
	client := through(t, &intercept.Proxy{To: "127.0.0.1:1", After: func(c *intercept.Call) bool {
		seen <- *c
		return true
	}})
	if _, err := client.Get(t.Context(), "key"); err == nil {
		t.Fatal("nobody answered")
	}
	select {
	case c := <-seen:
		if key, ok := c.Key(); !ok || key != "key" || !c.Unsent || c.Status != 0 || c.Writes() {
			t.Errorf("saw %+v", c)
		}
	case <-time.After(5 * time.Second):
		t.Error("saw nothing")
	}
}
