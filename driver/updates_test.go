//go:build linux

package driver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/consul"
	"switchd/dnsflip/tsig"
	"switchd/dnsproof"
	"switchd/driver"
	"switchd/gate"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
	"switchd/testenv/nameserver"
)

const elsewhere = `$TTL 60
@ IN SOA ns1 admin 1 300 60 1209600 5
@ IN NS ns1
ns1 IN A %s
web 60 IN CNAME %s.lb
blue.lb IN A 192.0.2.1
green.lb IN A 192.0.2.2
`

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// other is a zone of somebody else, with a service whose name is in it.
type other struct {
	*driver.World

	primary *nameserver.Server
	second  netip.Addr // of the zone's other name server
	key     nameserver.Key
	log     *lines
	metrics *prometheus.Registry
}

func newOther(t *testing.T, server *devconsul.Lone, env string, kind nameserver.Kind) *other {
	t.Helper()
	o := &other{key: nameserver.NewKey("switchd"), log: &lines{}, metrics: prometheus.NewRegistry()}
	o.second = netip.AddrFrom4([4]byte{127, 9, byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
	o.primary = nameserver.ForTest(t, kind, nameserver.Options{
		Keys:  []nameserver.Key{o.key},
		Zones: []nameserver.Zone{{Origin: "example.net", Text: fmt.Sprintf(elsewhere, o.second, "blue"), Update: true, Key: o.key.Name}},
	})
	o.World = newWorldOf(t, server, env, nil, o.service())
	keys, err := tsig.Parse(strings.NewReader(o.key.Clause()), "keys")
	if err != nil {
		t.Fatal(err)
	}
	o.TSIG, o.Log, o.Metrics = keys, slog.New(slog.NewTextHandler(o.log, nil)), driver.NewMetrics(o.metrics)
	o.NameServers.Port = o.primary.Addr().Port()
	return o
}

// startSecond starts the zone's other name server, which leads to a pool.
func (o *other) startSecond(t *testing.T, pool string) *nameserver.Server {
	t.Helper()
	return nameserver.ForTest(t, nameserver.NSD, nameserver.Options{
		Addr:  netip.AddrPortFrom(o.second, o.primary.Addr().Port()),
		Zones: []nameserver.Zone{{Origin: "example.net", Text: fmt.Sprintf(elsewhere, o.second, pool)}},
	})
}

func (o *other) service() spec.Service {
	return spec.Service{Name: "web", Switch: spec.Switch{
		Kind: spec.SwitchDNSUpdate, Name: "web", Zone: "example.net", Server: o.primary.Addr().String(), Key: o.key.Name,
		TTL: spec.Duration(time.Minute), ArmedTTL: spec.Duration(5 * time.Second),
		Targets: map[string]string{spec.Blue: "blue.lb.example.net", spec.Green: "green.lb.example.net"},
	}}
}

// lead writes the live record.
func (o *other) lead(t *testing.T, pool string, armed bool) {
	t.Helper()
	entry, err := o.Consul.Get(t.Context(), o.Keys.Live("web"))
	if err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(pools.Live{Service: "web", Pool: pool, Version: "2.0.0", Armed: armed, Generation: entry.Index + 1, At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Consul.Txn(t.Context(), "lead", consul.CAS(entry.Key, value, entry.Index)); err != nil {
		t.Fatal(err)
	}
}

// keep has the name kept until the test's end, under a lease.
func (o *other) keep(t *testing.T) {
	t.Helper()
	lease, err := o.Consul.Acquire(t.Context(), consul.LeaseOptions{Key: o.Keys.Lease(), Holder: "test", TTL: 10 * time.Second, LockDelay: time.Second, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	o.Fence = lease
	ctx, cancel := context.WithCancel(t.Context())
	var keeping sync.WaitGroup
	keeping.Go(func() { o.KeepUpdates(ctx) })
	t.Cleanup(func() {
		cancel()
		keeping.Wait()
		if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
}

// await waits until the name leads somewhere.
func (o *other) await(t *testing.T, target string, ttl time.Duration) {
	t.Helper()
	var got dnsproof.Reply
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got, err = dnsproof.Ask(t.Context(), o.primary.Addr().String(), "web.example.net"); err == nil && got.Target == target && got.TTL == ttl {
			return
		}
	}
	t.Fatalf("web leads to %s for %s (%v), want %s for %s\n%s", got, got.TTL, err, target, ttl, o.log)
}

// says waits for a line of the log.
func (o *other) says(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(o.log.String(), want) {
			return
		}
	}
	t.Fatalf("%q isn't said:\n%s", want, o.log)
}

// metric is a metric's value, by its name and its outcome if it has one.
func (o *other) metric(t *testing.T, name, outcome string) (value float64, found bool) {
	t.Helper()
	families, err := o.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += l.GetValue() + " "
			}
			if f.GetName() == name && strings.Contains(labels, outcome) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

// edit is a change by somebody else.
func (o *other) edit(t *testing.T, target string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nsupdate", "-y", o.key.Flag())
	cmd.Stdin = strings.NewReader(fmt.Sprintf("server %s %d\nzone example.net\nupdate delete web.example.net CNAME\nupdate add web.example.net 60 CNAME %s\nsend\n",
		o.primary.Addr().Addr(), o.primary.Addr().Port(), target))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nsupdate: %v\n%s", err, out)
	}
}

// switched is a rollout that has just led users of the name to a pool.
func (o *other) switched(pool string) rollout.Situation {
	s := switched()
	s.Spec, s.Record.Pool = o.service(), pool
	return s
}

func TestKeepUpdates_HasTheNameFollowTheLiveRecord(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	for _, kind := range []nameserver.Kind{nameserver.BIND, nameserver.Knot} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			o := newOther(t, server, string(kind), kind)
			o.keep(t)
			const blue, green = "blue.lb.example.net", "green.lb.example.net"
			o.lead(t, spec.Blue, true)
			o.await(t, blue, 5*time.Second)
			o.lead(t, spec.Green, true)
			o.await(t, green, 5*time.Second)
			o.lead(t, spec.Green, false)
			o.await(t, green, time.Minute)

			// An edit by hand is put right at the next look.
			o.edit(t, blue)
			o.lead(t, spec.Green, false)
			o.await(t, green, time.Minute)
			o.says(t, "put right")
			if drift, found := o.metric(t, "switchd_dns_update_drift", ""); !found || drift != 0 {
				t.Errorf("drift is %v, %v", drift, found)
			}

			// What is somebody else's isn't touched, and the proof says so.
			o.edit(t, "maintenance.example.com")
			o.lead(t, spec.Blue, false)
			o.says(t, "a CNAME to maintenance.example.com, which is not switchd's")
			if drift, _ := o.metric(t, "switchd_dns_update_drift", ""); drift != 1 {
				t.Errorf("drift is %v", drift)
			}
			if n, _ := o.metric(t, "switchd_dns_updates_total", "foreign"); n == 0 {
				t.Error("it isn't counted")
			}
			if v := run(t.Context(), o.World, rollout.JobProof, o.switched(spec.Blue)); v.Outcome != gate.Unknown ||
				!strings.Contains(v.Why, "still answers maintenance.example.com") || !strings.Contains(v.Why, "make it a CNAME to blue.lb.example.net or") {
				t.Errorf("the proof: %s: %s", v.Outcome, v.Why)
			}
			o.edit(t, green)
			o.await(t, blue, time.Minute) // by itself
			o.says(t, "name updated")
		})
	}
}

func TestKeepUpdates_GoesOnWhenThePrimaryIsBack(t *testing.T) {
	t.Parallel()
	o := newOther(t, devconsul.Start(t, nil), "prod", nameserver.BIND)
	if err := o.primary.Stop(); err != nil {
		t.Fatal(err)
	}
	o.keep(t)
	o.lead(t, spec.Green, false)
	o.says(t, "reach the primary "+o.primary.Addr().String())
	if v := run(t.Context(), o.World, rollout.JobProof, o.switched(spec.Green)); v.Outcome != gate.Unknown || !strings.Contains(v.Why, "the last update failed") {
		t.Errorf("the proof: %s: %s", v.Outcome, v.Why)
	}
	if err := o.primary.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.await(t, "green.lb.example.net", time.Minute)
}

func TestKeepUpdates_SaysWhichKeyIsMissing(t *testing.T) {
	t.Parallel()
	o := newOther(t, devconsul.Start(t, nil), "prod", nameserver.BIND)
	o.TSIG = nil
	o.keep(t)
	o.lead(t, spec.Green, false)
	o.says(t, `no TSIG key \"switchd\"`)
}

func TestProof_OfANameElsewhereAsksTheZonesNameServers(t *testing.T) {
	t.Parallel()
	o := newOther(t, devconsul.Start(t, nil), "prod", nameserver.BIND)
	// The other name server of the zone takes its time.
	second := o.startSecond(t, spec.Blue)
	o.edit(t, "green.lb.example.net")
	if v := run(t.Context(), o.World, rollout.JobProof, o.switched(spec.Green)); v.Outcome != gate.Unknown ||
		!strings.Contains(v.Why, "name server ns1.example.net ("+second.Addr().String()+") still answers blue") || strings.Contains(v.Why, "primary") {
		t.Errorf("got %s: %s", v.Outcome, v.Why)
	}
	v := run(t.Context(), o.World, rollout.JobProof, o.switched(spec.Blue))
	if v.Outcome != gate.Unknown || !strings.Contains(v.Why, "primary "+o.primary.Addr().String()) || !strings.Contains(v.Why, "still answers green") {
		t.Errorf("got %s: %s", v.Outcome, v.Why)
	}
	if err := second.Stop(); err != nil {
		t.Fatal(err)
	}
	o.startSecond(t, spec.Green)
	if v := run(t.Context(), o.World, rollout.JobProof, o.switched(spec.Green)); v.Outcome != gate.Pass || !strings.Contains(v.Why, "2 of 2 name servers lead web.example.net to green") {
		t.Errorf("got %s: %s", v.Outcome, v.Why)
	}
}
