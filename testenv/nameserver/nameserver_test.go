//go:build linux

package nameserver_test

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"switchd/testenv/nameserver"
	"switchd/testenv/proc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const text = `$TTL 60
@ IN SOA ns1 admin 1 300 60 1209600 5
@ IN NS ns1
ns1 IN A 127.0.0.1
web IN CNAME web-blue
web-blue IN A 192.0.2.1
`

func TestStart_RunsPrimaryAndSecondary(t *testing.T) {
	t.Parallel()
	key := nameserver.NewKey("xfer")
	for _, primary := range nameserver.Kinds() {
		for _, secondary := range nameserver.Kinds() {
			t.Run(fmt.Sprintf("%sTo%s", primary, secondary), func(t *testing.T) {
				t.Parallel()
				first := nameserver.ForTest(t, primary, nameserver.Options{
					Keys:  []nameserver.Key{key},
					Zones: []nameserver.Zone{{Origin: "apps.test", Text: text, Key: key.Name}},
				})
				second := nameserver.ForTest(t, secondary, nameserver.Options{
					Keys: []nameserver.Key{key},
					Zones: []nameserver.Zone{{
						Origin: "apps.test", Key: key.Name,
						Primaries: []nameserver.Peer{{Addr: first.Addr(), Key: key.Name}},
					}},
				})
				await(t, second.Addr(), "web-blue.apps.test. 60 IN A 192.0.2.1")
				for _, args := range [][]string{{"-y", key.Flag()}, nil} {
					out := dig(t, second.Addr(), append(args, "apps.test", "AXFR")...)
					if got, want := strings.Contains(out, "XFR size: 6 records"), args != nil; got != want {
						t.Errorf("a transfer with %v: got %v, want %v\n%s", args, got, want, out)
					}
				}
			})
		}
	}
}

func TestStart_TakesUpdatesAndNotifies(t *testing.T) {
	t.Parallel()
	for _, kind := range []nameserver.Kind{nameserver.BIND, nameserver.Knot} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			key := nameserver.NewKey("update")
			first := nameserver.ForTest(t, kind, nameserver.Options{
				Keys:  []nameserver.Key{key},
				Zones: []nameserver.Zone{{Origin: "apps.test", Text: text, Update: true, Key: key.Name}},
			})
			second := nameserver.ForTest(t, nameserver.NSD, nameserver.Options{
				Keys:  []nameserver.Key{key},
				Zones: []nameserver.Zone{{Origin: "apps.test", Primaries: []nameserver.Peer{{Addr: first.Addr(), Key: key.Name}}}},
			})
			// The primary learns where its secondary is.
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			first = nameserver.ForTest(t, kind, nameserver.Options{
				Addr: first.Addr(), Keys: []nameserver.Key{key},
				Zones: []nameserver.Zone{{
					Origin: "apps.test", Text: text, Update: true, Key: key.Name,
					Notify: []nameserver.Peer{{Addr: second.Addr(), Key: key.Name}},
				}},
			})
			await(t, second.Addr(), "web-blue.apps.test. 60 IN A 192.0.2.1")
			update := fmt.Sprintf("server %s %d\nzone apps.test\nupdate add new.apps.test 60 A 192.0.2.7\nsend\n", first.Addr().Addr(), first.Addr().Port())
			cmd := exec.CommandContext(t.Context(), "nsupdate", "-y", key.Flag())
			cmd.Stdin = strings.NewReader(update)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("nsupdate: %v\n%s", err, out)
			}
			await(t, second.Addr(), "new.apps.test. 60 IN A 192.0.2.7")
		})
	}
}

func TestStop_KeepsWhatItKnows(t *testing.T) {
	t.Parallel()
	for _, kind := range nameserver.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			server := nameserver.ForTest(t, kind, nameserver.Options{Zones: []nameserver.Zone{{Origin: "apps.test", Text: text}}})
			for range 2 {
				if err := server.Stop(); err != nil {
					t.Fatal(err)
				}
			}
			if err := server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			await(t, server.Addr(), "web-blue.apps.test. 60 IN A 192.0.2.1")
		})
	}
}

func TestStartResolver_AsksStubsAndForwards(t *testing.T) {
	t.Parallel()
	primary := nameserver.ForTest(t, nameserver.NSD, nameserver.Options{
		Zones: []nameserver.Zone{{Origin: "apps.test", Text: text}, {Origin: "apps.example.net", Text: text}},
	})
	resolver := nameserver.ResolverForTest(t, nameserver.ResolverOptions{
		Stubs:    map[string][]netip.AddrPort{"apps.test": {primary.Addr()}},
		Forwards: map[string][]netip.AddrPort{"apps.example.net": {primary.Addr()}},
	})
	for _, name := range []string{"web.apps.test", "web.apps.example.net"} {
		if out := dig(t, resolver.Addr(), "+short", name); !strings.Contains(out, "192.0.2.1") {
			t.Errorf("%s: got %q, want 192.0.2.1", name, out)
		}
	}
}

func TestStart_SaysWhyItFailed(t *testing.T) {
	t.Parallel()
	group := proc.ForTest(t)
	for _, kind := range nameserver.Kinds() {
		_, err := nameserver.Start(t.Context(), group, kind, nameserver.Options{Extra: []string{"nonsense-of-mine: 1"}})
		if err == nil || !strings.Contains(err.Error(), "nonsense-of-mine") {
			t.Errorf("%s: got %v, want what its log says", kind, err)
		}
	}
}

// await waits until a server answers the query for the record with it.
func await(t *testing.T, addr netip.AddrPort, want string) {
	t.Helper()
	rr, err := dns.NewRR(want)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	query := new(dns.Msg).SetQuestion(rr.Header().Name, rr.Header().Rrtype)
	for {
		reply, _, err := new(dns.Client).ExchangeContext(ctx, query, addr.String())
		if err == nil && slices.ContainsFunc(reply.Answer, func(got dns.RR) bool { return got.String() == rr.String() }) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("got %v (%v), want %s", reply, err, want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func dig(t *testing.T, addr netip.AddrPort, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	args = append([]string{"@" + addr.Addr().String(), "-p", fmt.Sprint(addr.Port()), "+tries=1", "+time=5"}, args...)
	out, err := exec.CommandContext(ctx, "dig", args...).CombinedOutput()
	if err != nil {
		t.Logf("dig %v: %v", args, err)
	}
	return string(out)
}
