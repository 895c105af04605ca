package tsig_test

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip/tsig"
)

const (
	secret = "c3dpdGNoZCBzd2l0Y2hkIHN3aXRjaGQgc3dpdGNoZA=="
	other  = "b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3Q="
	name   = "transfer.example.net."
)

var algorithms = []string{dns.HmacSHA224, dns.HmacSHA256, dns.HmacSHA384, dns.HmacSHA512}

// keyText is a file of one key.
func keyText(name, algorithm, secret string) string {
	return `key "` + strings.TrimSuffix(name, ".") + `" { algorithm ` + strings.TrimSuffix(algorithm, ".") + `; secret "` + secret + `"; };`
}

func ring(tb testing.TB, texts ...string) *tsig.Ring {
	tb.Helper()
	r, err := tsig.Parse(strings.NewReader(strings.Join(texts, "\n")), "keys")
	if err != nil {
		tb.Fatalf("parse keys: %v", err)
	}
	return r
}

// request is a signed question, as package dns makes it.
func request(tb testing.TB, keys *tsig.Ring, name, algorithm string, signed time.Time) []byte {
	tb.Helper()
	m := new(dns.Msg).SetQuestion("web.apps.test.", dns.TypeA)
	m.SetEdns0(1232, true)
	m.SetTsig(name, algorithm, 300, signed.Unix())
	packet, _, err := dns.TsigGenerateWithProvider(m, keys.Provider(), "", false)
	if err != nil {
		tb.Fatalf("sign request: %v", err)
	}
	return packet
}

// reply is one to a packet, not yet signed.
func reply(tb testing.TB, packet []byte, rcode int, rrs ...string) []byte {
	tb.Helper()
	var q dns.Msg
	if err := q.Unpack(packet); err != nil {
		tb.Fatalf("unpack request: %v", err)
	}
	m := new(dns.Msg).SetRcode(&q, rcode)
	for _, text := range rrs {
		rr, err := dns.NewRR(text)
		if err != nil {
			tb.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	return pack(tb, m)
}

func pack(tb testing.TB, m *dns.Msg) []byte {
	tb.Helper()
	packet, err := m.Pack()
	if err != nil {
		tb.Fatalf("pack: %v", err)
	}
	return packet
}

// record is the TSIG of a packet, nil if there is none.
func record(tb testing.TB, packet []byte) *dns.TSIG {
	tb.Helper()
	var m dns.Msg
	if err := m.Unpack(packet); err != nil {
		tb.Fatalf("unpack %x: %v", packet, err)
	}
	return m.IsTsig()
}

func mac(tb testing.TB, packet []byte) string {
	tb.Helper()
	t := record(tb, packet)
	if t == nil {
		tb.Fatalf("no TSIG in %x", packet)
	}
	return t.MAC
}
