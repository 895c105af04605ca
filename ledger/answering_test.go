package ledger_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/replica"
	"switchd/spec"
)

func (w world) answering(t *testing.T) *pools.Answering {
	t.Helper()
	entry, err := w.client.Get(t.Context(), w.Keys.Answering("web"))
	if err != nil {
		t.Fatal(err)
	}
	answering, err := pools.ParseAnswering(entry.Value, entry.Index)
	if err != nil {
		t.Fatal(err)
	}
	return answering
}

func (w world) serial(t *testing.T) uint32 {
	t.Helper()
	entry, err := w.client.Get(t.Context(), w.Keys.Serial())
	if err != nil {
		t.Fatal(err)
	}
	serial, err := ledger.ParseSerial(entry.Value)
	if err != nil {
		t.Fatal(err)
	}
	return serial
}

// TestDeriveAnswering_IsRightWhoeverWritesIt lets several replicas follow nodes
// that flap.
func TestDeriveAnswering_IsRightWhoeverWritesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var deriving sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		deriving.Go(func() {
			for {
				if _, err := w.DeriveAnswering(t.Context(), "web"); err != nil && !errors.Is(err, consul.ErrConflict) {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	last := w.serial(t)
	for range 40 {
		w.node(t, fmt.Sprintf("g%d", 1+rand.N(3)), spec.Green, "2.0.0", []string{api.HealthPassing, api.HealthCritical}[rand.N(2)])
		if now := w.serial(t); now < last {
			t.Fatalf("the serial fell from %d to %d", last, now)
		} else {
			last = now
		}
	}
	w.node(t, "g2", spec.Green, "2.0.0", api.HealthPassing)
	close(done)
	deriving.Wait()
	if _, err := w.DeriveAnswering(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	health, err := pools.Read(t.Context(), w.client, "web")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w.answering(t), (*pools.Answering)(nil).Next(health); !got.Same(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	before := w.everything(t)
	if changed, err := w.DeriveAnswering(t.Context(), "web"); changed || err != nil || w.everything(t) != before {
		t.Errorf("what was right was written again (%v)", err)
	}
}

func TestDeriveAnswering_CarriesAPoolWhoseNodesAllFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	derive := func() *pools.Answering {
		before := w.serial(t)
		if changed, err := w.DeriveAnswering(t.Context(), "web"); !changed || err != nil {
			t.Fatalf("changed %t, %v", changed, err)
		}
		if after := w.serial(t); int32(after-before) <= 0 {
			t.Fatalf("the serial went from %d to %d", before, after)
		}
		return w.answering(t)
	}
	first := derive()
	w.node(t, "g1", spec.Green, "2.0.0", api.HealthCritical)
	carried := derive()
	if !slices.Equal(carried.Carried, []string{spec.Green}) || !slices.Equal(carried.Pools[spec.Green], first.Pools[spec.Green]) {
		t.Errorf("with all nodes failing: %+v, was %+v", carried, first)
	}
	w.node(t, "g1", spec.Green, "2.0.0", api.HealthPassing)
	if again := derive(); !again.Same(first) {
		t.Errorf("with the node back: %+v, was %+v", again, first)
	}
	// What somebody has edited to be no record is derived anew.
	w.put(t, w.Keys.Answering("web"), "garbage")
	if again := derive(); !again.Same(first) {
		t.Errorf("after an edit: %+v, was %+v", again, first)
	}
}

func TestDeriveNames_FollowsZoneServicesAndReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := func() *ledger.Names {
		entry, err := w.client.Get(t.Context(), w.Keys.Names())
		if err != nil {
			t.Fatal(err)
		}
		names, err := ledger.ParseNames(entry.Value, entry.Index)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got := names(); got != nil {
		t.Fatalf("without a zone: %+v", got)
	}
	here, elsewhere := web(), web()
	here.Switch = spec.Switch{Kind: spec.SwitchDNS, Name: "web", TTL: spec.Duration(time.Minute)}
	elsewhere.Name, elsewhere.Switch.Kind = "mail", spec.SwitchDNSUpdate
	want := desired(elsewhere, here)
	want.Environment.Zone = &spec.Zone{Name: "apps.test", NameServers: []string{"ns1.apps.test"}, TTL: spec.Duration(time.Minute)}
	before := w.serial(t)
	if err := w.Apply(t.Context(), "test", want); err != nil {
		t.Fatal(err)
	}
	got := names()
	if got == nil || got.Zone.Name != "apps.test" || len(got.Services) != 1 || got.Services["web"].Port != 80 {
		t.Fatalf("names: %+v", got)
	}
	if after := w.serial(t); int32(after-before) <= 0 {
		t.Errorf("the serial went from %d to %d", before, after)
	}
	// Nothing that DNS answers has changed.
	before, want.Services[1].Weights = w.serial(t), []int{50}
	if err := w.Apply(t.Context(), "test", want); err != nil {
		t.Fatal(err)
	}
	if after := w.serial(t); after != before {
		t.Errorf("the serial went from %d to %d for nothing", before, after)
	}
	// A replica keeps its address when it has left.
	one := replica.Replica{Name: "ns1", Env: "prod", HTTP: "127.0.0.1:1", DNS: "192.0.2.53:53"}
	if err := replica.Register(t.Context(), w.client, one); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func() error{func() error { return nil }, func() error { return replica.Deregister(t.Context(), w.client, one) }} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.DeriveNames(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := names().Replicas["ns1"]; got != netip.MustParseAddr("192.0.2.53") {
			t.Errorf("ns1 is at %s", got)
		}
	}
	want.Environment.Zone = nil
	want.Services = want.Services[:1]
	if err := w.Apply(t.Context(), "test", want); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != nil {
		t.Errorf("after the zone was removed: %+v", got)
	}
}

func TestMoveSerialPast_OnlyMovesForward(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	serial := w.serial(t)
	for _, served := range []uint32{serial - 1, serial} {
		if err := w.MoveSerialPast(t.Context(), served); err != nil || w.serial(t) != serial {
			t.Errorf("past %d: %d is now %d (%v)", served, serial, w.serial(t), err)
		}
	}
	if err := w.MoveSerialPast(t.Context(), serial+1000); err != nil || int32(w.serial(t)-(serial+1000)) <= 0 {
		t.Errorf("past %d: it is %d (%v)", serial+1000, w.serial(t), err)
	}
}

// FuzzParseNames holds the parser of what Consul holds to giving back what it
// would write.
func FuzzParseNames(f *testing.F) {
	f.Add([]byte(`{"zone":{"name":"apps.test","name_servers":["ns1.apps.test"],"ttl":"1m"},"services":{"web":{"switch":{"kind":"dns","ttl":"5s"},"port":80}},"replicas":{"ns1":"192.0.2.1"}}`))
	f.Add([]byte(`{"replicas":{"ns1":"nowhere"}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		names, err := ledger.ParseNames(value, 1)
		if err != nil || names == nil {
			return
		}
		if next := names.Next(names.Zone, nil, nil); len(next.Replicas) != len(names.Replicas) {
			t.Errorf("replicas were lost: %v, of %v", next.Replicas, names.Replicas)
		}
	})
}
