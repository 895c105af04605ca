//go:build linux

package dnsproof_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsproof"
	"switchd/testenv/nameserver"
)

const zoneText = `$TTL 60
@ IN SOA ns1 admin 41 300 60 1209600 5
@ IN NS ns1
@ IN NS ns2
@ IN NS ns3.sub
@ IN NS ns1.example.net.
@ IN NS ns2.example.net.
@ IN NS ns3.example.net.
@ IN A 192.0.2.1
ns1 IN A 127.0.0.1
ns2 IN AAAA 2001:db8::2
ns2 IN A 192.0.2.22
sub IN NS ns3.sub
ns3.sub IN A 192.0.2.33
web 7 IN CNAME web-green
out 7 IN CNAME green.example.net.
gone 7 IN CNAME nowhere
web-green IN A 192.0.2.1
`

func TestAsk_ReadsWhatRealServersSay(t *testing.T) {
	t.Parallel()
	for _, kind := range nameserver.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			addr := nameserver.ForTest(t, kind, nameserver.Options{Zones: []nameserver.Zone{{Origin: "apps.test", Text: zoneText}}}).Addr().String()
			for name, want := range map[string]dnsproof.Reply{
				"web.apps.test":       {Target: "web-green.apps.test", TTL: 7 * time.Second, Zone: "apps.test", Serial: 41},
				"gone.apps.test":      {Target: "nowhere.apps.test", TTL: 7 * time.Second, Zone: "apps.test", Serial: 41},
				"apps.test":           {Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, TTL: time.Minute, Zone: "apps.test", Serial: 41},
				"web-green.apps.test": {Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, TTL: time.Minute, Zone: "apps.test", Serial: 41},
			} {
				got, err := dnsproof.Ask(t.Context(), addr, name)
				if err != nil || got.String() != want.String() || got.TTL != want.TTL || got.Zone != want.Zone || got.Serial != want.Serial {
					t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
				}
			}
			if got, err := dnsproof.Ask(t.Context(), addr, "out.apps.test"); err != nil || got.Target != "green.example.net" {
				t.Errorf("got %+v, %v", got, err)
			}
			for name, want := range map[string]string{"nope.apps.test": "NXDOMAIN", "web.example.net": "REFUSED"} {
				if got, err := dnsproof.Ask(t.Context(), addr, name); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %+v, %v, want %s", name, got, err, want)
				}
			}
		})
	}
}

func TestDirectory_FindsAddressesInsideAndOutsideTheZone(t *testing.T) {
	t.Parallel()
	lookup := func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "ns1.example.net":
			return []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("::ffff:198.51.100.1")}, nil
		case "ns2.example.net":
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		default:
			return nil, &net.DNSError{Err: "timeout", Name: host, IsTimeout: true}
		}
	}
	at := func(addrs ...string) (list []netip.AddrPort) {
		for _, a := range addrs {
			list = append(list, netip.MustParseAddrPort(a))
		}
		return list
	}
	for _, kind := range nameserver.Kinds() {
		for _, minimal := range []bool{false, true} {
			t.Run(fmt.Sprintf("%sMinimal%v", kind, minimal), func(t *testing.T) {
				t.Parallel()
				text := zoneText
				if kind != nameserver.BIND { // which refuses such a zone
					text += "@ IN NS lost\n"
				}
				o := nameserver.Options{Zones: []nameserver.Zone{{Origin: "apps.test", Text: text}}, Minimal: minimal}
				addr := nameserver.ForTest(t, kind, o).Addr().String()
				got, err := dnsproof.Directory{Lookup: lookup}.NameServers(t.Context(), addr, "apps.test")
				if err != nil {
					t.Fatal(err)
				}
				want := []dnsproof.NameServer{
					{Host: "lost.apps.test"},
					{Host: "ns1.apps.test", Addrs: at("127.0.0.1:53")},
					{Host: "ns1.example.net", Addrs: at("198.51.100.1:53")},
					{Host: "ns2.apps.test", Addrs: at("192.0.2.22:53", "[2001:db8::2]:53")},
					{Host: "ns2.example.net"},
					{Host: "ns3.example.net", Err: errors.New("timeout")},
					{Host: "ns3.sub.apps.test", Addrs: at("192.0.2.33:53")},
				}
				if kind == nameserver.BIND {
					want = want[1:]
				}
				if !slices.EqualFunc(got, want, func(a, b dnsproof.NameServer) bool {
					return a.Host == b.Host && slices.Equal(a.Addrs, b.Addrs) && (a.Err != nil) == (b.Err != nil)
				}) {
					t.Errorf("got  %v\nwant %v", got, want)
				}
				if _, err := (dnsproof.Directory{}).NameServers(t.Context(), addr, "web-green.apps.test"); err == nil || !strings.Contains(err.Error(), "it has none") {
					t.Errorf("of a host: %v", err)
				}
				if _, err := (dnsproof.Directory{}).NameServers(t.Context(), addr, "example.net"); err == nil || !strings.Contains(err.Error(), "REFUSED") {
					t.Errorf("of another zone: %v", err)
				}
			})
		}
	}
}

func TestResolve_ShowsWhatIsKeptAndForHowLong(t *testing.T) {
	t.Parallel()
	key := nameserver.NewKey("update")
	const text = "$TTL 60\n@ IN SOA ns1 admin 1 300 60 1209600 5\n@ IN NS ns1\nns1 IN A 127.0.0.1\n@ 2 IN A 192.0.2.1\n" +
		"web 2 IN CNAME web-blue\nweb-blue IN A 192.0.2.1\nweb-green IN A 192.0.2.2\n"
	primary := nameserver.ForTest(t, nameserver.BIND, nameserver.Options{
		Keys: []nameserver.Key{key}, Zones: []nameserver.Zone{{Origin: "apps.test", Text: text, Update: true, Key: key.Name}},
	}).Addr()
	resolver := nameserver.ResolverForTest(t, nameserver.ResolverOptions{Stubs: map[string][]netip.AddrPort{"apps.test": {primary}}}).Addr().String()
	resolve := func(name string, qtype uint16) dnsproof.Reply {
		t.Helper()
		r, err := dnsproof.Resolve(t.Context(), resolver, name, qtype)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	begin := time.Now()
	if r := resolve("web.apps.test", dns.TypeA); r.Target != "web-blue.apps.test" || r.TTL != 2*time.Second || r.Zone != "" {
		t.Errorf("got %+v", r)
	}
	if r := resolve("apps.test", dns.TypeA); r.Target != "" || r.String() != "192.0.2.1" {
		t.Errorf("got %+v", r)
	}
	if r := resolve("web.apps.test", dns.TypeAAAA); r.Target != "web-blue.apps.test" {
		t.Errorf("without addresses of the type: got %+v", r)
	}
	nsupdate := exec.CommandContext(t.Context(), "nsupdate", "-y", key.Flag())
	nsupdate.Stdin = strings.NewReader(fmt.Sprintf("server %s %d\nzone apps.test\nupdate delete web.apps.test CNAME\nupdate add web.apps.test 2 CNAME web-green.apps.test.\nsend\n",
		primary.Addr(), primary.Port()))
	if out, err := nsupdate.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var last dnsproof.Reply
	for {
		r := resolve("web.apps.test", dns.TypeA)
		if r.Target == "web-green.apps.test" {
			break
		}
		if r.TTL > 2*time.Second {
			t.Errorf("the old target stays for %s", r.TTL)
		}
		last = r
		if time.Since(begin) > 8*time.Second {
			t.Fatalf("still old after %s: %+v", time.Since(begin), r)
		}
		<-time.After(100 * time.Millisecond)
	}
	if last.Target != "web-blue.apps.test" || last.TTL >= 2*time.Second {
		t.Errorf("the last old answer was %+v, with a TTL that didn't run", last)
	}
	if r, err := dnsproof.Resolve(t.Context(), resolver, "nope.apps.test", dns.TypeA); err == nil || !strings.Contains(err.Error(), "NXDOMAIN") || !strings.Contains(err.Error(), resolver) {
		t.Errorf("got %+v, %v", r, err)
	}
}
