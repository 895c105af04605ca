//go:build linux

package dnsupdate_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip/tsig"
	"switchd/dnsupdate"
	"switchd/testenv/nameserver"
)

const zoneText = `$TTL 60
@ IN SOA ns1 admin 1 300 60 1209600 5
@ IN NS ns1
ns1 IN A 127.0.0.1
web 60 IN CNAME blue.lb
shop 60 IN CNAME shop.example.com.
api IN A 192.0.2.9
api IN TXT "by hand"
deep.below IN A 192.0.2.8
*.wild IN CNAME other.lb
blue.lb IN A 192.0.2.1
green.lb IN A 192.0.2.2
`

const (
	blue  = "blue.lb.example.net"
	green = "green.lb.example.net"
)

// updaters are the primaries that take updates.
func updaters() []nameserver.Kind { return []nameserver.Kind{nameserver.BIND, nameserver.Knot} }

// primary is a real name server with a key that may update its zone, and one
// that may not.
type primary struct {
	*nameserver.Server

	key, stranger nameserver.Key
}

func startPrimary(t *testing.T, kind nameserver.Kind) primary {
	t.Helper()
	p := primary{key: nameserver.NewKey("switchd"), stranger: nameserver.NewKey("stranger")}
	p.Server = nameserver.ForTest(t, kind, nameserver.Options{
		Keys: []nameserver.Key{p.key, p.stranger},
		Zones: []nameserver.Zone{
			{Origin: "example.net", Text: zoneText, Update: true, Key: p.key.Name},
		},
	})
	return p
}

// at is the zone as the primary at addr has it.
func (p primary) at(t *testing.T, addr string) dnsupdate.Primary {
	t.Helper()
	return dnsupdate.Primary{Server: addr, Zone: "example.net", Key: p.key.Name, Keys: ring(t, p.key)}
}

func (p primary) zone(t *testing.T) dnsupdate.Primary {
	t.Helper()
	return p.at(t, p.Addr().String())
}

func ring(t *testing.T, keys ...nameserver.Key) *tsig.Ring {
	t.Helper()
	var text strings.Builder
	for _, k := range keys {
		text.WriteString(k.Clause())
	}
	r, err := tsig.Parse(strings.NewReader(text.String()), "keys")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// led is a record of one of the two pools.
func led(name, target string) dnsupdate.Record {
	return dnsupdate.Record{Name: name + ".example.net", Target: target, TTL: 5 * time.Second, Own: []string{blue, green}}
}

// holds asks the primary for the CNAME of a name, as "TTL target".
func (p primary) holds(t *testing.T, name string) string {
	t.Helper()
	m, err := ask(p.Addr(), name+".example.net.", dns.TypeCNAME)
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range m.Answer {
		if cname, ok := rr.(*dns.CNAME); ok {
			return fmt.Sprintf("%d %s", cname.Hdr.Ttl, cname.Target)
		}
	}
	return ""
}

func ask(addr netip.AddrPort, name string, qtype uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	reply, _, err := new(dns.Client).Exchange(m, addr.String())
	return reply, err
}

// nsupdate is a change by somebody else.
func (p primary) nsupdate(t *testing.T, commands string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nsupdate", "-v", "-y", p.key.Flag())
	cmd.Stdin = strings.NewReader(fmt.Sprintf("server %s %d\nzone example.net\n%s\nsend\n", p.Addr().Addr(), p.Addr().Port(), commands))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nsupdate: %v\n%s", err, out)
	}
}

// each runs a test with each kind of primary.
func each(t *testing.T, test func(t *testing.T, p primary)) {
	t.Helper()
	for _, kind := range updaters() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test(t, startPrimary(t, kind))
		})
	}
}
