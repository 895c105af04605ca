package dnsflip_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip"
	"switchd/dnsflip/tsig"
	"switchd/spec"
	"switchd/testenv/nameserver"
	"switchd/zone"
)

// keyring returns a ring with keys.
func keyring(tb testing.TB, keys ...nameserver.Key) *tsig.Ring {
	tb.Helper()
	var text strings.Builder
	for _, k := range keys {
		text.WriteString(k.Clause())
	}
	ring, err := tsig.Parse(strings.NewReader(text.String()), "keys")
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

// tool runs a DNS client against addr and returns its output.
func tool(tb testing.TB, debian, name, addr string, args ...string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Fatalf("this test needs %s, of the package %s: %v", name, debian, err)
	}
	at := netip.MustParseAddrPort(addr)
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, append([]string{"@" + at.Addr().String(), "-p", fmt.Sprint(at.Port())}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s\n%s: %v", out, name, err)
	}
	return string(out)
}

// lines returns the records that a client has printed, with one blank between
// fields, in their order.
// TSIG records, which dig prints, are none of the zone.
func lines(out string) []string {
	var list []string
	for line := range strings.Lines(out) {
		if line = strings.Join(strings.Fields(line), " "); line != "" && line[0] != ';' && !strings.Contains(line, " ANY TSIG ") {
			list = append(list, line)
		}
	}
	return list
}

// want are the records of testView's zone, without the SOA.
func want(live string) []string {
	return []string{
		"api-blue.apps.test. 60 IN A 192.0.2.21",
		"api-green.apps.test. 60 IN A 192.0.2.31",
		"api.apps.test. 90 IN CNAME api-green.apps.test.",
		"apps.test. 60 IN NS ns.example.net.",
		"apps.test. 60 IN NS ns1.infra.apps.test.",
		"dark.apps.test. 5 IN CNAME dark-green.apps.test.",
		"new-blue.apps.test. 5 IN A 192.0.2.41",
		"ns1.infra.apps.test. 60 IN A 192.0.2.53",
		"ns1.infra.apps.test. 60 IN AAAA 2001:db8::53",
		"web-blue.apps.test. 5 IN A 192.0.2.1",
		"web-blue.apps.test. 5 IN A 192.0.2.2",
		"web-blue.apps.test. 5 IN AAAA 2001:db8::1",
		"web-green.apps.test. 5 IN A 192.0.2.11",
		"web-green.apps.test. 5 IN A 192.0.2.12",
		"web.apps.test. 5 IN CNAME web-" + live + ".apps.test.",
	}
}

func soa(serial int) string {
	return fmt.Sprintf("apps.test. 60 IN SOA ns1.infra.apps.test. dns\\.admin.example.net. %d 300 60 1209600 5", serial)
}

func TestTransfer_GivesDigAndKdigTheZone(t *testing.T) {
	t.Parallel()
	key := nameserver.NewKey("xfer.apps.test")
	server, addr := start(t, dnsflip.Config{TSIG: keyring(t, key)})
	v := testView(7, spec.Blue)
	v.Zone.Transfer = []string{"key:xfer.apps.test"}
	publish(t, server, v)
	v = testView(8, spec.Green)
	v.Zone.Transfer = []string{"key:xfer.apps.test"}
	publish(t, server, v)

	full := slices.Concat([]string{soa(8)}, want(spec.Green), []string{soa(8)})
	incremental := []string{
		soa(8), soa(7), "web.apps.test. 5 IN CNAME web-blue.apps.test.",
		soa(8), "web.apps.test. 5 IN CNAME web-green.apps.test.", soa(8),
	}
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"AXFR", []string{"apps.test", "AXFR"}, full},
		{"AXFR with EDNS", []string{"apps.test", "AXFR", "+edns=0", "+bufsize=4096", "+nsid"}, full},
		{"AXFR in another case", []string{"aPPs.tEST", "AXFR"}, full},
		{"IXFR", []string{"apps.test", "IXFR=7"}, incremental},
		{"IXFR of a version that isn't known", []string{"apps.test", "IXFR=6"}, full},
		{"IXFR of the newest version", []string{"apps.test", "IXFR=8"}, []string{soa(8)}},
		{"IXFR of a version to come", []string{"apps.test", "IXFR=9"}, []string{soa(8)}},
	} {
		for _, client := range []struct{ name, pkg string }{{"dig", "bind9-dnsutils"}, {"kdig", "knot-dnsutils"}} {
			signed := []string{"-y", key.Flag(), "+nocomments", "+nostats"}
			out := tool(t, client.pkg, client.name, addr, append(signed, tt.args...)...)
			got := lines(out)
			if len(tt.want) == len(full) { // in any order between the SOA records
				slices.Sort(got[min(1, len(got)):max(len(got)-1, min(1, len(got)))])
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s: %s got\n%s\nwant\n%s", tt.name, client.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			for _, complaint := range []string{"Transfer failed", "WARNING", "BADSIG", "Couldn't verify", "tsig verify failure", "error"} {
				if strings.Contains(out, complaint) {
					t.Errorf("%s: %s complains:\n%s", tt.name, client.name, out)
				}
			}
		}
	}
}

func TestTransfer_PassesNamedCheckzone(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	v := testView(7, spec.Blue)
	v.Zone.Transfer = []string{"127.0.0.0/8"}
	publish(t, server, v)
	file := filepath.Join(t.TempDir(), "apps.zone")
	records := lines(tool(t, "bind9-dnsutils", "dig", addr, "apps.test", "AXFR", "+nocomments", "+nostats"))
	if len(records) == 0 {
		t.Fatal("got no zone")
	}
	text := strings.Join(records[:len(records)-1], "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "named-checkzone", "-i", "local", "apps.test", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "loaded serial 7\nOK") {
		t.Errorf("named-checkzone (%v) says:\n%s\nof\n%s", err, out, text)
	}
}

func TestTransfer_RefusesStrangers(t *testing.T) {
	t.Parallel()
	key, other := nameserver.NewKey("xfer"), nameserver.NewKey("other")
	server, addr := start(t, dnsflip.Config{TSIG: keyring(t, key, other)})
	v := testView(7, spec.Blue)
	v.Zone.Transfer = []string{"192.0.2.0/24", "key:xfer"}
	publish(t, server, v)
	forged := key
	forged.Secret = other.Secret
	unknown := nameserver.NewKey("unknown")
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"nobody", []string{"apps.test", "AXFR"}, "; Transfer failed."},
		{"nobody, by IXFR", []string{"apps.test", "IXFR=7", "+tcp"}, "; Transfer failed."},
		{"a key that may not", []string{"-y", other.Flag(), "apps.test", "AXFR"}, "; Transfer failed."},
		{"a wrong secret", []string{"-y", forged.Flag(), "apps.test", "AXFR"}, "BADSIG"},
		{"an unknown key", []string{"-y", unknown.Flag(), "apps.test", "AXFR"}, "BADKEY"},
		{"a name in the zone", []string{"-y", key.Flag(), "web.apps.test", "AXFR"}, "; Transfer failed."},
		{"another zone", []string{"-y", key.Flag(), "example.net", "AXFR"}, "; Transfer failed."},
	} {
		out := tool(t, "bind9-dnsutils", "dig", addr, tt.args...)
		if !strings.Contains(out, tt.want) || strings.Contains(out, "CNAME") {
			t.Errorf("%s: got\n%s\nwant %s", tt.name, out, tt.want)
		}
	}
	// Nobody tells the primary what's new.
	notify := new(dns.Msg)
	notify.SetNotify("apps.test.")
	if reply := ask(t, "udp", addr, notify); reply.Rcode != dns.RcodeRefused {
		t.Errorf("a spoofed NOTIFY: got %s", dns.RcodeToString[reply.Rcode])
	}
}

func TestTransfer_ByUDPTellsOnlyTheSerial(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	for serial, live := range []string{spec.Blue, spec.Green} {
		v := testView(uint32(7+serial), live)
		v.Zone.Transfer = []string{"127.0.0.1"}
		publish(t, server, v)
	}
	query := new(dns.Msg)
	query.SetIxfr("apps.test.", 7, "ns1.apps.test.", "admin.apps.test.")
	reply := ask(t, "udp", addr, query)
	if got, want := records(reply.Answer), strings.Split(strings.ReplaceAll(soa(8), " ", "\t"), "\n"); len(got) != 1 || strings.Join(strings.Fields(got[0]), "\t") != want[0] {
		t.Errorf("got %s, want the SOA record alone", reply)
	}
	if reply := ask(t, "udp", addr, question("apps.test.", dns.TypeAXFR)); reply.Rcode != dns.RcodeFormatError {
		t.Errorf("AXFR: got %s, want FORMERR", dns.RcodeToString[reply.Rcode])
	}
}

// bigZone returns a plain zone with n hosts that have these data.
func bigZone(tb testing.TB, n int, rdata func(i int) string) *zone.Zone {
	tb.Helper()
	var b strings.Builder
	b.WriteString("$TTL 60\n@ IN SOA ns1 admin 1 300 60 1209600 5\n@ IN NS ns1\nns1 IN A 192.0.2.53\n")
	for i := range n {
		fmt.Fprintf(&b, "host-%d IN %s\n", i, rdata(i))
	}
	name, err := zone.ParseName("apps.test")
	if err != nil {
		tb.Fatal(err)
	}
	z, err := zone.Parse(strings.NewReader(b.String()), name, "big.zone")
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

func address(i int) string { return fmt.Sprintf("A 10.%d.%d.%d", i>>16, i>>8&0xff, i&0xff) }

func TestTransfer_GivesALargeZoneSigned(t *testing.T) {
	t.Parallel()
	const n = 100_000
	key := nameserver.NewKey("xfer")
	server, addr := start(t, dnsflip.Config{TSIG: keyring(t, key), Transfers: []dnsflip.Transfer{{Key: "xfer"}}})
	if err := server.Serve(bigZone(t, n, address)); err != nil {
		t.Fatal(err)
	}
	out := tool(t, "bind9-dnsutils", "dig", addr, "-y", key.Flag(), "apps.test", "AXFR", "+nocomments")
	if want := fmt.Sprintf(";; XFR size: %d records", n+4); !strings.Contains(out, want) {
		t.Fatalf("got no %q at the end of\n%s", want, out[max(0, len(out)-500):])
	}
	got := map[string]bool{}
	for _, line := range lines(out) {
		got[line] = true
	}
	for i := range n {
		if record := fmt.Sprintf("host-%d.apps.test. 60 IN %s", i, address(i)); !got[record] {
			t.Fatalf("got no %s", record)
		}
	}
}

// Clients that ask for a large zone and don't read it get no more than their
// share; all others are answered.
func TestTransfer_SurvivesClientsThatDontRead(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{Transfers: []dnsflip.Transfer{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}})
	long := `TYPE65280 \# 50000 ` + strings.Repeat("00", 50_000)
	if err := server.Serve(bigZone(t, 250, func(int) string { return long })); err != nil { // more than sockets keep
		t.Fatal(err)
	}
	packet, err := question("apps.test.", dns.TypeAXFR).Pack()
	if err != nil {
		t.Fatal(err)
	}
	frame := append([]byte{byte(len(packet) >> 8), byte(len(packet))}, packet...)
	for range 30 {
		conn, err := net.DialTimeout("tcp", addr, 5*time.Second) //nolint:noctx // it has a timeout
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // a test's client
		if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	busy := false
	for deadline := time.Now().Add(5 * time.Second); !busy && time.Now().Before(deadline); {
		busy = ask(t, "tcp", addr, question("apps.test.", dns.TypeAXFR)).Rcode == dns.RcodeServerFailure
	}
	if !busy {
		t.Error("there is no end of transfers")
	}
	for _, network := range []string{"udp", "tcp"} {
		if reply := ask(t, network, addr, question("ns1.apps.test.", dns.TypeA)); len(reply.Answer) != 1 {
			t.Errorf("%s: got %s", network, reply)
		}
	}
	// That Close waits for none of them is what the cleanup shows.
	began := time.Now()
	if err := server.Close(); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("close took %s: %v", time.Since(began), err)
	}
}
