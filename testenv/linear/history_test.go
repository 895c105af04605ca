package linear_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/consul"
	"switchd/testenv/devconsul"
	"switchd/testenv/intercept"
	"switchd/testenv/linear"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is one whose calls are recorded, and some of whose answers get lost.
func client(t *testing.T, server *devconsul.Lone, h *linear.History, who string) *consul.Client {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running := (&intercept.Proxy{To: server.Addr(), After: func(c *intercept.Call) bool {
		h.Record(who, c)
		_, txn := c.Txn()
		return !txn || rand.IntN(10) > 0
	}}).Serve(listener)
	t.Cleanup(func() {
		if err := running.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := consul.NewClient(consul.Flags{HTTPAddr: listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// writer takes the lease, writes on what it reads, and gives the lease away,
// again and again.
func writer(ctx context.Context, c *consul.Client, keys consul.Keys, who string, guard bool) error {
	for n := 0; ctx.Err() == nil; n++ {
		lease, err := c.Acquire(ctx, consul.LeaseOptions{Key: keys.Lease(), Holder: who, TTL: 10 * time.Second, LockDelay: time.Millisecond})
		if err != nil {
			return nil //nolint:nilerr // only the end of ctx ends the wait
		}
		for range 5 {
			entry, err := c.Get(ctx, keys.Live("web"))
			if err != nil {
				continue
			}
			ops := []consul.Op{consul.CAS(entry.Key, fmt.Appendf(nil, "%s %d %d", who, n, entry.Index), entry.Index)}
			if guard {
				held, err := lease.Guard()
				if err != nil {
					return err
				}
				ops = append([]consul.Op{held}, ops...)
			}
			// A conflict can't be, and a lost answer is one of the matters here.
			if err := c.Txn(ctx, "write", ops...); errors.Is(err, consul.ErrFenced) {
				return err
			}
		}
		if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return nil
}

func TestHistory_OfRealWritersCanBeOrdered(t *testing.T) {
	t.Parallel()
	server, keys := devconsul.Start(t, nil), consul.Keys{Env: "demo"}
	h := linear.NewHistory(keys)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var work sync.WaitGroup
	for i := range 3 {
		who := fmt.Sprint("writer", i)
		c := client(t, server, h, who)
		work.Go(func() {
			if err := writer(ctx, c, keys, who, true); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if err := h.Check(t.TempDir()); err != nil {
		t.Error(err)
	}
	if n := h.Counts(); n.Writes < 10 || n.Leases < 3 || n.Reads < 10 {
		t.Errorf("too little happened: %s", n)
	}
}

func TestHistory_NamesAWriteThatNoLeaseGuards(t *testing.T) {
	t.Parallel()
	server, keys := devconsul.Start(t, nil), consul.Keys{Env: "demo"}
	h := linear.NewHistory(keys)
	c := client(t, server, h, "writer")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := writer(ctx, c, keys, "writer", false); err != nil {
		t.Fatal(err)
	}
	if err := h.Check(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no lease guards") {
		t.Errorf("got %v", err)
	}
}
