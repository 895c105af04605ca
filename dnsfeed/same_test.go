package dnsfeed_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/dnsflip"
	"switchd/ledger"
	"switchd/spec"
)

// witness takes down what several servers serve.
type witness struct {
	mu      sync.Mutex
	serials map[uint32]dnsflip.View // the first view of each
	wrong   []string
}

// under is a server whose views a witness sees.
type under struct {
	*dnsflip.Server

	witness *witness
}

// Publish has the witness look at what is served then.
func (u under) Publish(v dnsflip.View) error {
	err := u.Server.Publish(v)
	u.witness.see(*u.View())
	return err
}

// see holds a view to being the one that its serial stands for, and to having
// no empty pool.
func (w *witness) see(v dnsflip.View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v.At = time.Time{}
	for label, f := range v.Flips {
		for _, pool := range []string{spec.Blue, spec.Green} {
			if len(f.Pools[pool]) == 0 {
				w.wrong = append(w.wrong, fmt.Sprintf("serial %d: pool %s of %s is empty", v.Serial, pool, label))
			}
		}
	}
	first, known := w.serials[v.Serial]
	if !known {
		w.serials[v.Serial] = v
	} else if !reflect.DeepEqual(first, v) {
		w.wrong = append(w.wrong, fmt.Sprintf("serial %d: %+v\nand also %+v", v.Serial, first, v))
	}
}

func (w *witness) judge(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wrong := range w.wrong {
		t.Error(wrong)
	}
}

// recorded waits until all that answers are made of is recorded and served.
func (w world) recorded(t *testing.T) {
	t.Helper()
	for _, key := range []string{w.Keys.Names(), w.Keys.Answering("web"), w.Keys.Answering("api")} {
		for {
			entry, err := w.client.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if entry.Index != 0 {
				break
			}
		}
	}
	w.await(t, "the name server", func(v *dnsflip.View) bool { return len(v.NameServerAddrs) > 0 })
	entry, err := w.client.Get(t.Context(), w.Keys.Serial())
	if err != nil {
		t.Fatal(err)
	}
	serial, err := ledger.ParseSerial(entry.Value)
	if err != nil {
		t.Fatal(err)
	}
	w.await(t, "the last record", func(v *dnsflip.View) bool { return v.Serial == serial })
}

// TestFeed_OneSerialStandsForOneAnswerOnAllReplicas has nodes flap, services
// flip and the zone change, and looks at every view that two replicas serve.
func TestFeed_OneSerialStandsForOneAnswerOnAllReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.recorded(t)
	seen := &witness{serials: make(map[uint32]dnsflip.View)}
	servers := []under{{newServer(t), seen}, {newServer(t), seen}}
	for _, server := range servers {
		w.serve(t, server)
	}
	var changing sync.WaitGroup
	changing.Go(func() {
		for range 150 {
			pool := []string{spec.Blue, spec.Green}[rand.N(2)]
			n := 1 + rand.N(4)
			w.node(t, []string{"api", "web"}[rand.N(2)], fmt.Sprintf("%c%d", pool[0], n), pool, fmt.Sprintf("192.0.2.%d", n+10*len(pool)),
				[]string{api.HealthPassing, api.HealthCritical}[rand.N(2)])
		}
	})
	changing.Go(func() {
		for i := range 20 {
			w.flip(t, "web", []string{spec.Green, spec.Blue}[i%2])
			zone := w.dns.View().Zone
			zone.TTL = spec.Duration(time.Duration(60+i) * time.Second)
			if err := w.Apply(t.Context(), "test", &spec.Desired{
				Environment: spec.Environment{Name: "prod", Zone: &zone}, Services: []spec.Service{service("api"), service("web")},
			}); err != nil {
				t.Error(err)
			}
		}
	})
	changing.Wait()
	w.node(t, "web", "g9", spec.Green, "192.0.2.99", api.HealthPassing)
	for _, server := range append(servers, under{w.dns, seen}) {
		one := w
		one.dns = server.Server
		one.await(t, "the last change", func(v *dnsflip.View) bool {
			addrs := v.Flips["web"].Pools[spec.Green]
			return v.Zone.TTL == spec.Duration(79*time.Second) && len(addrs) > 0 && addrs[len(addrs)-1].String() == "192.0.2.99"
		})
		seen.see(*server.View())
	}
	seen.judge(t)
	if len(seen.serials) < 20 {
		t.Errorf("%d serials were seen, want at least one a flip", len(seen.serials))
	}
}

// TestFeed_ManyNodesThatChangeAtOnceAreFewSerials bounds what a large roll
// writes.
func TestFeed_ManyNodesThatChangeAtOnceAreFewSerials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.recorded(t)
	_, before := w.ask(t, "web")
	began := time.Now()
	var joining sync.WaitGroup
	for i := range 60 {
		joining.Go(func() {
			w.node(t, "web", fmt.Sprintf("n%d", i), spec.Green, fmt.Sprintf("198.51.100.%d", i+1), api.HealthPassing)
		})
	}
	joining.Wait()
	view := w.await(t, "all of them", func(v *dnsflip.View) bool { return len(v.Flips["web"].Pools[spec.Green]) == 61 })
	// Each write is at least a tenth of a second after the one before.
	if most := 2 + time.Since(began).Milliseconds()/100; int64(view.Serial-max(before, uint32(began.Unix()))) > most {
		t.Errorf("serial went from %d to %d in %s", before, view.Serial, time.Since(began))
	}
}

// TestFeed_ARestartOfConsulNeverEmptiesAPool looks at every view from before
// the restart until Consul has found its feet.
func TestFeed_ARestartOfConsulNeverEmptiesAPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.recorded(t)
	seen := &witness{serials: make(map[uint32]dnsflip.View)}
	server := under{newServer(t), seen}
	w.serve(t, server)
	w.dns = server.Server
	w.await(t, "the first answers", leads("web", spec.Blue))
	for range 2 {
		w.consul.Kill()
		w.consul.Start()
	}
	restarted := time.Now()
	w.flipOnceBack(t)
	w.await(t, "an answer of after the restart", func(v *dnsflip.View) bool { return v.At.After(restarted) && v.Flips["web"].Live == spec.Green })
	seen.judge(t)
}

// flipOnceBack flips web to green as soon as Consul takes writes again.
func (w world) flipOnceBack(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if _, err := w.client.Get(t.Context(), w.Keys.Serial()); err == nil {
			break
		}
	}
	w.flip(t, "web", spec.Green)
}
