//go:build linux

package dnsupdate_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsupdate"
)

func TestSet_NeverLeavesTheNameWithoutItsCNAME(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p primary) {
		zone := p.zone(t)
		ctx, stop := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		var answers atomic.Int64
		for range 3 {
			asking.Go(func() {
				for ctx.Err() == nil {
					m, err := ask(p.Addr(), "web.example.net.", dns.TypeA)
					switch {
					case err != nil:
						t.Errorf("lost: %v", err)
					case len(m.Answer) != 2 || m.Answer[0].Header().Rrtype != dns.TypeCNAME:
						t.Errorf("no CNAME with its address: %v", m)
					default:
						answers.Add(1)
					}
				}
			})
		}
		for i := range 50 {
			target, other := green, blue
			if i%2 == 1 {
				target, other = blue, green
			}
			before := answers.Load()
			out, err := zone.Set(t.Context(), led("web", target))
			if err != nil || !out.Changed || out.Before != other {
				t.Fatalf("flip %d: %+v, %v", i, out, err)
			}
			if got := p.holds(t, "web"); got != "5 "+target+"." {
				t.Fatalf("flip %d: it holds %s", i, got)
			}
			for answers.Load() < before+3 && !t.Failed() { // some are asked between any two flips
				time.Sleep(time.Millisecond)
			}
		}
		stop()
		asking.Wait()
		t.Logf("%d answers during 50 flips", answers.Load())
	})
}

func TestSet_ChangesOnlyWhatIsNotRightYet(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p primary) {
		zone := p.zone(t)
		for _, step := range []struct {
			record dnsupdate.Record
			want   dnsupdate.Outcome
			holds  string
		}{
			{led("web", blue), dnsupdate.Outcome{Changed: true, Before: blue}, "5 blue.lb.example.net."}, // the TTL
			{led("web", blue), dnsupdate.Outcome{}, "5 blue.lb.example.net."},
			{led("WEB", "Blue.LB.example.net."), dnsupdate.Outcome{}, "5 blue.lb.example.net."},
			{led("web", green), dnsupdate.Outcome{Changed: true, Before: blue}, "5 green.lb.example.net."},
			{led("new", green), dnsupdate.Outcome{Changed: true}, "5 green.lb.example.net."},
			{led("new", green), dnsupdate.Outcome{}, "5 green.lb.example.net."},
			{led("below", green), dnsupdate.Outcome{Changed: true}, "5 green.lb.example.net."}, // an empty non-terminal
		} {
			name, _, _ := strings.Cut(step.record.Name, ".")
			out, err := zone.Set(t.Context(), step.record)
			if err != nil || out != step.want {
				t.Errorf("%s to %s: got %+v, %v, want %+v", step.record.Name, step.record.Target, out, err, step.want)
			}
			if got := p.holds(t, name); got != step.holds {
				t.Errorf("%s holds %s, want %s", step.record.Name, got, step.holds)
			}
		}
		// What a wildcard has for the name is not the name's own.
		if out, err := zone.Set(t.Context(), led("web.wild", green)); err != nil || !out.Changed {
			t.Errorf("below a wildcard: got %+v, %v", out, err)
		}
		if got := p.holds(t, "web.wild"); got != "5 green.lb.example.net." {
			t.Errorf("below a wildcard it holds %s", got)
		}
	})
}

func TestSet_MayRunTwiceAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p primary) {
		zone := p.zone(t)
		for round := range 10 {
			record := led("web", green)
			if round%2 == 1 {
				record = led("web", blue)
			}
			if round == 0 {
				record = led("twice", green)
			}
			var changed atomic.Int32
			var setting sync.WaitGroup
			for range 3 {
				setting.Go(func() {
					switch out, err := zone.Set(t.Context(), record); {
					case err != nil:
						t.Errorf("round %d: %v", round, err)
					case out.Changed:
						changed.Add(1)
					}
				})
			}
			setting.Wait()
			if changed.Load() == 0 {
				t.Errorf("round %d: nobody changed it", round)
			}
		}
	})
}

func TestSet_LeavesAloneWhatIsSomebodyElses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p primary) {
		zone := p.zone(t)
		for name, want := range map[string]string{
			"shop": "a CNAME to shop.example.com",
			"api":  "records of type A", // BIND tells more of them than Knot
		} {
			_, err := zone.Set(t.Context(), led(name, green))
			if _, foreign := errors.AsType[*dnsupdate.ForeignError](err); !foreign || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), blue+" or "+green) {
				t.Errorf("%s: got %v, want %s", name, err, want)
			}
		}
		if got := p.holds(t, "shop"); got != "60 shop.example.com." {
			t.Errorf("shop holds %s", got)
		}
		if m, err := ask(p.Addr(), "api.example.net.", dns.TypeA); err != nil || len(m.Answer) != 1 || m.Answer[0].Header().Rrtype != dns.TypeA {
			t.Errorf("api has %v, %v", m, err)
		}
		// The way out that the error names.
		p.nsupdate(t, "update delete shop.example.net\nupdate delete api.example.net\nupdate add api.example.net 60 CNAME "+blue)
		for _, name := range []string{"shop", "api"} {
			if out, err := zone.Set(t.Context(), led(name, green)); err != nil || !out.Changed {
				t.Errorf("%s, handed over: got %+v, %v", name, out, err)
			}
		}
	})
}

func TestSet_DoesNotOverwriteWhatChangesInBetween(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p primary) {
		for _, c := range []struct{ name, foreign, holds, want string }{
			{"web", "update delete web.example.net CNAME\nupdate add web.example.net 60 CNAME maintenance.example.com", "60 maintenance.example.com.", "a CNAME to maintenance.example.com"},
			{"fresh", "update add fresh.example.net 60 A 192.0.2.77", "", "records of type A"},
		} {
			var once sync.Once
			addr := between(t, p.Addr().String(), func() { once.Do(func() { p.nsupdate(t, c.foreign) }) })
			_, err := p.at(t, addr).Set(t.Context(), led(c.name, green))
			if _, foreign := errors.AsType[*dnsupdate.ForeignError](err); !foreign || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %s", c.name, err, c.want)
			}
			if got := p.holds(t, c.name); got != c.holds {
				t.Errorf("%s holds %q, want %q", c.name, got, c.holds)
			}
		}
		// Another replica that did the same in between, or the opposite, is no
		// trouble.
		for name, target := range map[string]string{"same": green, "opposite": blue} {
			var once sync.Once
			addr := between(t, p.Addr().String(), func() {
				once.Do(func() { p.nsupdate(t, "update add "+name+".example.net 5 CNAME "+target) })
			})
			if out, err := p.at(t, addr).Set(t.Context(), led(name, green)); err != nil || out.Changed != (target == blue) {
				t.Errorf("%s: got %+v, %v", name, out, err)
			}
		}
	})
}

func TestSet_WorksAgainWhenThePrimaryIsBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p primary) {
		zone := p.zone(t)
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := zone.Set(t.Context(), led("web", green)); err == nil || !strings.Contains(err.Error(), "reach the primary "+p.Addr().String()) {
			t.Errorf("got %v", err)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if out, err := zone.Set(t.Context(), led("web", green)); err != nil || !out.Changed {
			t.Errorf("got %+v, %v", out, err)
		}
	})
}
