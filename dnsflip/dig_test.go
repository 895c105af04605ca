package dnsflip_test

import (
	"context"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"switchd/dnsflip"
	"switchd/spec"
)

func TestServer_PleasesDig(t *testing.T) {
	t.Parallel()
	dig, err := exec.LookPath("dig")
	if err != nil {
		t.Fatalf("this test needs dig, of the package bind9-dnsutils: %v", err)
	}
	server, addr := start(t, dnsflip.Config{ID: "ns1.apps.test"})
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, live := range []string{spec.Blue, spec.Green} {
		v := testView(7, live)
		for pool, list := range v.Flips["web"].Pools {
			v.Flips["web"].Pools[pool] = list[:1] // one: their order is random
		}
		publish(t, server, v)
		want := map[string]string{spec.Blue: "192.0.2.1", spec.Green: "192.0.2.11"}[live]
		for _, tt := range []struct {
			args []string
			want string
		}{
			{[]string{"web.apps.test", "+short"}, "web-" + live + ".apps.test.\n" + want},
			{[]string{"web.apps.test", "+short", "+tcp"}, "web-" + live + ".apps.test.\n" + want},
			{[]string{"web.apps.test", "+noall", "+answer"}, "web.apps.test. 5 IN CNAME web-" + live + ".apps.test.\nweb-" + live + ".apps.test. 5 IN A " + want},
			{[]string{"web.apps.test", "SOA", "+noall", "+authority"}, "apps.test. 5 IN SOA ns1.infra.apps.test. dns\\.admin.example.net. 7 300 60 1209600 5"},
			{[]string{"apps.test", "SOA", "+short"}, "ns1.infra.apps.test. dns\\.admin.example.net. 7 300 60 1209600 5"},
			{[]string{"id.server", "TXT", "CH", "+short"}, `"ns1.apps.test"`},
			{[]string{"-x", "192.0.2.1", "+noall", "+comments", "+noedns"}, "status: REFUSED"},
			{[]string{"web.apps.test", "+nsid", "+noall", "+comments"}, `("ns1.apps.test")`},
			{[]string{"web.apps.test", "+edns=1", "+noednsneg", "+noall", "+comments"}, "status: BADVERS"},
			{[]string{"web.apps.test", "+opcode=7", "+noall", "+comments"}, "status: NOTIMP"},
			{[]string{"web.apps.test", "+header-only", "+nocookie", "+noall", "+comments"}, "status: FORMERR"},
			{[]string{"web.apps.test", "+header-only", "+cookie", "+noall", "+comments"}, "status: NOERROR"}, // RFC 7873 section 5.4
			{[]string{"apps.test", "AXFR"}, "Transfer failed."},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			args := append([]string{"@" + host, "-p", port, "+norec", "+tries=1", "+time=3"}, tt.args...)
			out, err := exec.CommandContext(ctx, dig, args...).CombinedOutput()
			cancel()
			var got []string
			for line := range strings.Lines(string(out)) {
				got = append(got, strings.Join(strings.Fields(line), " "))
			}
			whole := slices.Contains(tt.args, "+short") || slices.Contains(tt.args, "+answer")
			text := strings.Join(got, "\n")
			if whole && text != tt.want || !strings.Contains(text, tt.want) {
				t.Errorf("dig %v (%v) printed:\n%s\nwant:\n%s", tt.args, err, text, tt.want)
			}
			for _, complaint := range []string{"Warning", "malformed", "mismatch", "extra bytes"} {
				if strings.Contains(text, complaint) {
					t.Errorf("dig %v complains:\n%s", tt.args, text)
				}
			}
		}
	}
}
