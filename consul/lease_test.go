package consul_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"switchd/consul"
	"switchd/testenv/devconsul"
)

func acquire(t *testing.T, c *consul.Client, ttl time.Duration) *consul.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lease, err := c.Acquire(ctx, consul.LeaseOptions{Key: "switchd/test/lease", Holder: t.Name(), TTL: ttl, LockDelay: time.Millisecond})
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	return lease
}

func TestLease_FencesATransaction(t *testing.T) {
	t.Parallel()
	c := devconsul.Start(t, nil).Client()
	lease := acquire(t, c, 10*time.Second)
	guard, err := lease.Guard()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Txn(t.Context(), "write", guard, consul.CAS("k", []byte("1"), 0)); err != nil {
		t.Fatalf("write under the lease: %v", err)
	}
	if err := c.Txn(t.Context(), "write", guard, consul.CAS("k", []byte("2"), 0)); !errors.Is(err, consul.ErrConflict) {
		t.Fatalf("write over an existing key: got %v, want a conflict", err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	entry, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	// The guard is one of a lease that is gone: another process' old
	// transaction that arrives late.
	if err := c.Txn(t.Context(), "write", guard, consul.CAS("k", []byte("3"), entry.Index)); !errors.Is(err, consul.ErrFenced) {
		t.Fatalf("write after the release: got %v, want it fenced", err)
	}
	if entry, _ = c.Get(t.Context(), "k"); string(entry.Value) != "1" {
		t.Fatalf("k is %q, want what was written under the lease", entry.Value)
	}
	if _, err := lease.Guard(); err == nil {
		t.Fatal("a released lease still gives a guard")
	}
}

func TestLease_IsHeldByOneAndPassesOnAtOnce(t *testing.T) {
	t.Parallel()
	c := devconsul.Start(t, nil).Client()
	first := acquire(t, c, 10*time.Second)
	second := make(chan *consul.Lease)
	go func() { second <- acquire(t, c, 10*time.Second) }()
	select {
	case <-second:
		t.Fatal("two hold the lease")
	case <-time.After(500 * time.Millisecond):
	}
	released := time.Now()
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	lease := <-second
	if took := time.Since(released); took > 5*time.Second {
		t.Errorf("the lease passed on after %s, as if its holder had died", took)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestLease_KnowsByItsOwnClock stops Consul with SIGSTOP: connections stay
// open and nothing answers, which is the case in which api.Lock notices
// nothing.
func TestLease_KnowsByItsOwnClock(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	const ttl = 2 * time.Second
	lease := acquire(t, server.Client(), ttl)
	if err := server.Process().Signal(os.Signal(unix.SIGSTOP)); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	select {
	case <-lease.Lost():
	case <-time.After(3 * ttl):
		t.Fatal("the lease was never lost")
	}
	if took := time.Since(stopped); took > ttl+500*time.Millisecond {
		t.Errorf("lost after %s, later than its TTL of %s", took, ttl)
	}
	if _, err := lease.Guard(); !errors.Is(err, consul.ErrFenced) {
		t.Errorf("guard of a lost lease: got %v, want it fenced", err)
	}
	if err := server.Process().Signal(os.Signal(unix.SIGCONT)); err != nil {
		t.Fatal(err)
	}
	_ = lease.Release(t.Context())
}

func TestLease_OutlivesARestartOfConsul(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	lease := acquire(t, server.Client(), 20*time.Second)
	server.Kill()
	server.Start()
	select {
	case <-lease.Lost():
		t.Fatalf("lost with a restart that was shorter than the TTL: %v", lease.Err())
	case <-time.After(7 * time.Second): // a renewal comes after 5 s at the latest
	}
	guard, err := lease.Guard()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Client().Txn(t.Context(), "write", guard, consul.CAS("k", nil, 0)); err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSession_IsTakenOverByTheNextProcess(t *testing.T) {
	t.Parallel()
	c := devconsul.Start(t, nil).Client()
	opts := consul.SessionOptions{Name: "agent", TTL: 10 * time.Second, LockDelay: 15 * time.Second, Delete: true}
	first, err := c.NewSession(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := first.Acquire(t.Context(), "slot", []byte("a")); !ok || err != nil {
		t.Fatalf("acquire: %t, %v", ok, err)
	}
	first.Abandon()
	opts.ID = first.ID()
	second, err := c.NewSession(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if second.ID() != first.ID() {
		t.Fatal("a new session was made although the former one lives")
	}
	if entry, err := c.Get(t.Context(), "slot"); err != nil || entry.Session != second.ID() {
		t.Fatalf("the slot is held by %q (%v)", entry.Session, err)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if entry, err := c.Get(t.Context(), "slot"); err != nil || entry.Index != 0 {
		t.Fatalf("the key outlived a session with the delete behaviour (%v)", err)
	}
	opts.ID = second.ID()
	third, err := c.NewSession(t.Context(), opts)
	if err != nil {
		t.Fatalf("go on with a session that is gone: %v", err)
	}
	if third.ID() == second.ID() {
		t.Fatal("a destroyed session was taken for a living one")
	}
	if err := third.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
