package consul_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/testenv/devconsul"
)

func TestWatch_FollowsThroughAnOutage(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	c := server.Client()
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan consul.Seen[consul.Entry], 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.WatchKey(ctx, "k", func(s consul.Seen[consul.Entry]) { seen <- s })
	}()
	await := func(what string, wanted func(consul.Seen[consul.Entry]) bool) {
		t.Helper()
		timeout := time.After(30 * time.Second)
		for {
			select {
			case s := <-seen:
				if wanted(s) {
					return
				}
			case <-timeout:
				t.Fatalf("never saw %s", what)
			}
		}
	}
	await("the missing key", func(s consul.Seen[consul.Entry]) bool { return s.Err == nil && s.Value.Index == 0 })
	write := func(value string) {
		t.Helper()
		if _, err := c.API().KV().Put(&api.KVPair{Key: "k", Value: []byte(value)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	write("1")
	await("the first value", func(s consul.Seen[consul.Entry]) bool { return s.Changed && string(s.Value.Value) == "1" })
	server.Kill()
	await("the outage", func(s consul.Seen[consul.Entry]) bool {
		return errors.Is(s.Err, consul.ErrUnreachable) && string(s.Value.Value) == "1" // the last value stays
	})
	server.Start()
	write("2")
	await("the second value", func(s consul.Seen[consul.Entry]) bool { return string(s.Value.Value) == "2" })
	cancel()
	<-done
}

// TestWatch_SurvivesAFallingIndex feeds what no Consul does on demand: an
// index that falls, as after a restored snapshot, and an index of zero.
func TestWatch_SurvivesAFallingIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type answer struct{ value, index uint64 }
		script := []answer{{1, 100}, {2, 200}, {3, 50}, {4, 60}, {5, 0}, {6, 1}}
		asked := make([]uint64, 0, len(script))
		ctx, cancel := context.WithCancel(t.Context())
		var got []uint64
		consul.Watch(ctx, func(q *api.QueryOptions) (uint64, *api.QueryMeta, error) {
			i := len(asked)
			asked = append(asked, q.WaitIndex)
			if i >= len(script) {
				<-q.Context().Done()
				return 0, nil, q.Context().Err()
			}
			return script[i].value, &api.QueryMeta{LastIndex: script[i].index}, nil
		}, func(s consul.Seen[uint64]) {
			if s.Changed {
				got = append(got, s.Value)
			}
			if s.Value == 6 {
				cancel()
			}
		})
		for i, want := range []uint64{0, 100, 200, 0, 60, 0} {
			if asked[i] != want {
				t.Errorf("query %d waited on index %d, want %d", i, asked[i], want)
			}
		}
		if len(got) != len(script) {
			t.Errorf("saw %v, want every value", got)
		}
	})
}

// TestWatch_IsNoBusyLoop holds the pace of a key that changes all the time.
func TestWatch_IsNoBusyLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		index := uint64(0)
		consul.Watch(ctx, func(*api.QueryOptions) (int, *api.QueryMeta, error) {
			index++
			return 0, &api.QueryMeta{LastIndex: index}, nil
		}, func(consul.Seen[int]) {})
		if index > 520 { // 50 a second and the bucket's burst
			t.Errorf("%d queries in 10 s", index)
		}
	})
}
