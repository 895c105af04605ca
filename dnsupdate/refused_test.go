//go:build linux

package dnsupdate_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsupdate"
	"switchd/testenv/nameserver"
)

func TestSet_SaysWhyItWasRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p primary) {
		unknown, forged, otherAlgorithm := nameserver.NewKey("unknown"), nameserver.NewKey(p.key.Name), p.key
		otherAlgorithm.Algorithm = "hmac-sha512"
		for name, c := range map[string]struct {
			key  nameserver.Key
			zone string
			want []string
		}{
			"a key that it doesn't know": {unknown, "example.net", []string{`"unknown"`, "BADKEY"}},
			"another secret":             {forged, "example.net", []string{`"switchd"`, "BADSIG", "its secret"}},
			"another algorithm":          {otherAlgorithm, "example.net", []string{`"switchd"`, "BADKEY", "algorithm"}},
			"a key without the right":    {p.stranger, "example.net", []string{`"stranger"`, "do this"}},
			"another zone":               {p.key, "web.example.net", []string{"NOTAUTH", "not the primary"}},
		} {
			record := led("web", green)
			if c.zone != "example.net" {
				record.Name = "x." + c.zone
			}
			zone := dnsupdate.Primary{Server: p.Addr().String(), Zone: c.zone, Key: c.key.Name, Keys: ring(t, c.key)}
			_, err := zone.Set(t.Context(), record)
			if _, refused := errors.AsType[*dnsupdate.RefusedError](err); !refused {
				t.Errorf("%s: got %v", name, err)
				continue
			}
			for _, want := range append(c.want, p.Addr().String()) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %s isn't said: %v", name, want, err)
				}
			}
			if strings.Contains(err.Error(), c.key.Secret) {
				t.Errorf("%s: the error tells the secret", name)
			}
		}
		if got := p.holds(t, "web"); got != "60 blue.lb.example.net." {
			t.Errorf("web holds %s", got)
		}
	})
}

func TestSet_RefusesWhatCanNotBeAsked(t *testing.T) {
	t.Parallel()
	key := nameserver.NewKey("switchd")
	zone := dnsupdate.Primary{Server: "127.0.0.1:1", Zone: "example.net", Key: key.Name, Keys: ring(t, key)}
	for want, record := range map[string]dnsupdate.Record{
		"can't be a CNAME":            {Name: "example.net.", Target: green},
		"not a name of the zone":      {Name: "web.example.com", Target: green},
		`"web..example.net" is not a`: {Name: "web..example.net", Target: green},
		`"" is not a domain name`:     {Name: "web.example.net"},
		"TTL -1s":                     {Name: "web.example.net", Target: green, TTL: -time.Second},
		"can't be written":            {Name: "web.example.net", Target: green, TTL: 1 << 62},
	} {
		if _, err := zone.Set(t.Context(), record); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	zone.Key = "other"
	_, err := zone.Set(t.Context(), led("web", green))
	if _, missing := errors.AsType[*dnsupdate.KeyError](err); !missing || !strings.Contains(err.Error(), "it has switchd.") {
		t.Errorf("got %v", err)
	}
}

func TestSet_BelievesNothingUnsigned(t *testing.T) {
	t.Parallel()
	key, second := nameserver.NewKey("switchd"), nameserver.NewKey("second")
	keys := ring(t, key, second)
	cname, err := dns.NewRR("web.example.net. 5 CNAME " + blue + ".")
	if err != nil {
		t.Fatal(err)
	}
	for want, edit := range map[string]func(m, query *dns.Msg){
		"not signed with the key": func(*dns.Msg, *dns.Msg) {},
		"NXDOMAIN":                func(m, _ *dns.Msg) { m.Rcode = dns.RcodeNameError },
		`"switchd"`:               func(m, _ *dns.Msg) { m.SetTsig("second.", dns.HmacSHA256, 300, time.Now().Unix()) },
		"still answers a CNAME to " + blue: func(m, _ *dns.Msg) { // takes updates and makes none
			m.SetTsig("switchd.", dns.HmacSHA256, 300, time.Now().Unix())
		},
		"the reply is not to the question": func(m, _ *dns.Msg) { m.Response = false },
		"not authoritative": func(m, _ *dns.Msg) {
			m.Authoritative = false
			m.SetTsig("switchd.", dns.HmacSHA256, 300, time.Now().Unix())
		},
		"BADTIME: its clock says 2001-09-09T01:46:40Z": func(m, _ *dns.Msg) {
			m.Rcode = dns.RcodeNotAuth
			m.SetTsig("switchd.", dns.HmacSHA256, 300, time.Now().Unix())
			t := m.IsTsig()
			t.Error, t.OtherLen, t.OtherData = dns.RcodeBadTime, 6, "00003b9aca00"
		},
	} {
		addr := stub(t, keys.Provider(), func(m, query *dns.Msg) {
			m.Authoritative = true
			if query.Opcode == dns.OpcodeQuery {
				m.Answer = []dns.RR{dns.Copy(cname)}
			}
			edit(m, query)
		})
		zone := dnsupdate.Primary{Server: addr, Zone: "example.net", Key: key.Name, Keys: keys}
		if out, err := zone.Set(t.Context(), led("web", green)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %+v, %v, want %s", out, err, want)
		}
	}
}

func TestSet_EndsThoughThePrimaryIsSilent(t *testing.T) {
	t.Parallel()
	var listen net.ListenConfig
	silent, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	key := nameserver.NewKey("switchd")
	zone := dnsupdate.Primary{Server: silent.Addr().String(), Zone: "example.net", Key: key.Name, Keys: ring(t, key)}
	began := time.Now()
	if _, err := zone.Set(t.Context(), led("web", green)); err == nil || !strings.Contains(err.Error(), "no reply within 3s") || time.Since(began) > 6*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began = time.Now()
	if _, err := zone.Set(ctx, led("web", green)); !errors.Is(err, context.Canceled) || time.Since(began) > 2*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}
