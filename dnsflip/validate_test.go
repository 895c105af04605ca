package dnsflip_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"switchd/dnsflip"
	"switchd/spec"
)

func TestView_ValidateNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	web := func(edit func(*dnsflip.Flip)) func(*dnsflip.View) {
		return func(v *dnsflip.View) {
			f := v.Flips["web"]
			edit(&f)
			v.Flips["web"] = f
		}
	}
	for _, tt := range []struct {
		want string // empty: valid
		edit func(*dnsflip.View)
	}{
		{"", func(*dnsflip.View) {}},
		{"", func(v *dnsflip.View) { v.Flips = nil }},
		{"", func(v *dnsflip.View) { v.Zone.NameServers = []string{"NS.Example.Net."}; v.NameServerAddrs = nil }},
		{"", func(v *dnsflip.View) { v.Zone.Admin = `first.last+"dns"@example.net` }},
		{`zone name "" is not`, func(v *dnsflip.View) { v.Zone.Name = "" }},
		{`zone name "Apps.test" is not`, func(v *dnsflip.View) { v.Zone.Name = "Apps.test" }},
		{`zone name "apps.test." is not`, func(v *dnsflip.View) { v.Zone.Name = "apps.test." }},
		{`zone "apps.test" has no name servers`, func(v *dnsflip.View) { v.Zone.NameServers = nil }},
		{`name server "ns 1" is not a host name`, func(v *dnsflip.View) { v.Zone.NameServers = append(v.Zone.NameServers, "ns 1") }},
		{`name server "NS.example.net" is named twice`, func(v *dnsflip.View) { v.Zone.NameServers = append(v.Zone.NameServers, "NS.example.net") }},
		{`admin "admin" is not a mail address`, func(v *dnsflip.View) { v.Zone.Admin = "admin" }},
		{`admin "@example.net" is not a mail address`, func(v *dnsflip.View) { v.Zone.Admin = "@example.net" }},
		{`TTL of zone "apps.test" must be at least 1s`, func(v *dnsflip.View) { v.Zone.TTL = 0 }},
		{`negative TTL of zone "apps.test" must be at least 1s`, func(v *dnsflip.View) { v.Zone.NegativeTTL = spec.Duration(time.Millisecond) }},
		{`"ns.example.net" is outside of zone`, func(v *dnsflip.View) { v.NameServerAddrs["ns.example.net"] = addrs("192.0.2.1") }},
		{`"ns9.apps.test", which is not a name server`, func(v *dnsflip.View) { v.NameServerAddrs["ns9.apps.test"] = addrs("192.0.2.1") }},
		{`"Web" is not a lower-case label of at most 57`, func(v *dnsflip.View) { v.Flips["Web"] = v.Flips["web"] }},
		{`"a.b" is not a lower-case label`, func(v *dnsflip.View) { v.Flips["a.b"] = v.Flips["web"] }},
		{`is not a lower-case label`, func(v *dnsflip.View) { v.Flips[strings.Repeat("a", 58)] = v.Flips["web"] }},
		{"", func(v *dnsflip.View) { v.Flips[strings.Repeat("a", 57)] = v.Flips["web"] }},
		{`"" is not a lower-case label`, func(v *dnsflip.View) { v.Flips[""] = v.Flips["web"] }},
		{`web-blue.apps.test is the name of service "web" and of service "api"`, func(v *dnsflip.View) { v.Flips["web-blue"] = v.Flips["api"] }},
		{`web.apps.test is the name of a name server and of service "web"`, func(v *dnsflip.View) { v.Zone.NameServers = append(v.Zone.NameServers, "web.apps.test") }},
		{`service "web": live pool "red" is neither`, web(func(f *dnsflip.Flip) { f.Live = "red" })},
		{`service "web": pool "red" is neither`, web(func(f *dnsflip.Flip) { f.Pools["red"] = nil })},
		{`service "web": carried pool "red" is neither`, web(func(f *dnsflip.Flip) { f.Carried = []string{"red"} })},
		{`TTL of service "web" must be at least 1s and at most 596523h14m7s, got 0s`, web(func(f *dnsflip.Flip) { f.TTL = 0 })},
		{`service "web": weights must sum to 100 percent, got 99`, web(func(f *dnsflip.Flip) { f.Weights = map[string]int{spec.Blue: 99} })},
		{`weight of pool green must be 0 to 100 percent, got -1`, web(func(f *dnsflip.Flip) { f.Weights = map[string]int{spec.Blue: 101, spec.Green: -1} })},
		{`weight for pool "red"`, web(func(f *dnsflip.Flip) { f.Weights = map[string]int{spec.Blue: 50, "red": 50} })},
		{`service "web": 0.0.0.0 is not an address that users can reach`, web(func(f *dnsflip.Flip) { f.Pools[spec.Blue] = addrs("0.0.0.0") })},
		{`service "web": fe80::1%eth0 is not an address`, web(func(f *dnsflip.Flip) { f.Pools[spec.Blue] = addrs("fe80::1%eth0") })},
		{`service "web": invalid IP is not an address`, web(func(f *dnsflip.Flip) { f.Pools[spec.Blue] = []netip.Addr{{}} })},
	} {
		v := testView(1, spec.Green)
		tt.edit(&v)
		err := v.Validate()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("got %v, want a valid view", err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
