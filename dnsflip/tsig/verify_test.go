package tsig_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"switchd/dnsflip/tsig"
)

func TestVerify_AcceptsWhatTheLibrarySigned(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for _, algorithm := range algorithms {
		keys := ring(t, keyText(name, algorithm, secret))
		packet := request(t, keys, "Transfer.EXAMPLE.net.", algorithm, now)
		before := bytes.Clone(packet)
		tx, err := keys.Verify(packet, now)
		if err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		if tx.Key() != keys.Key(name) || tx.Rcode() != dns.RcodeSuccess {
			t.Errorf("%s: key %v, rcode %d", algorithm, tx.Key(), tx.Rcode())
		}
		if !bytes.Equal(packet, before) {
			t.Errorf("%s: the packet was changed", algorithm)
		}
	}
}

func TestVerify_LetsUnsignedRequestsPass(t *testing.T) {
	t.Parallel()
	packet := pack(t, new(dns.Msg).SetQuestion("apps.test.", dns.TypeAXFR))
	for _, keys := range []*tsig.Ring{nil, ring(t, keyText(name, dns.HmacSHA256, secret))} {
		tx, err := keys.Verify(packet, time.Now())
		if err != nil || tx.Key() != nil || tx.Size() != 0 {
			t.Errorf("got %v, key %v, size %d", err, tx.Key(), tx.Size())
		}
		answer := reply(t, packet, dns.RcodeRefused)
		if signed := tx.Sign(bytes.Clone(answer), time.Now()); !bytes.Equal(signed, answer) {
			t.Errorf("the reply was changed: %x", signed)
		}
	}
}

// TestVerify_RefusesAsTheRFCSays goes through RFC 8945 section 5.2.
func TestVerify_RefusesAsTheRFCSays(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	keys := ring(t, keyText(name, dns.HmacSHA256, secret))
	good := request(t, keys, name, dns.HmacSHA256, now)
	stranger := ring(t, keyText("other.example.net.", dns.HmacSHA256, secret))
	sha512 := ring(t, keyText(name, dns.HmacSHA512, secret))
	forger := ring(t, keyText(name, dns.HmacSHA256, other))
	for _, tt := range []struct {
		name   string
		packet []byte
		now    time.Time
		rcode  int
		code   uint16
		says   string
	}{
		{"unknown key", request(t, stranger, "other.example.net.", dns.HmacSHA256, now), now, dns.RcodeNotAuth, dns.RcodeBadKey,
			`BADKEY: TSIG key "other.example.net.": there is no such key: add it here, or correct its name at the other side: dns: no secrets defined`},
		{"another algorithm", request(t, sha512, name, dns.HmacSHA512, now), now, dns.RcodeNotAuth, dns.RcodeBadKey,
			`BADKEY: TSIG key "transfer.example.net.": it is a key for hmac-sha256. here and for hmac-sha512. at the other side: dns: bad key algorithm`},
		{"another secret", request(t, forger, name, dns.HmacSHA256, now), now, dns.RcodeNotAuth, dns.RcodeBadSig,
			`BADSIG: TSIG key "transfer.example.net.": the signature doesn't match: compare the secrets of both sides`},
		{"another secret, and long ago", request(t, forger, name, dns.HmacSHA256, time.Unix(1, 0)), now, dns.RcodeNotAuth, dns.RcodeBadSig, ""},
		{"5 minutes old", good, now.Add(300 * time.Second), dns.RcodeSuccess, 0, ""},
		{"older", good, now.Add(301 * time.Second), dns.RcodeNotAuth, dns.RcodeBadTime,
			`BADTIME: TSIG key "transfer.example.net.": signed at 2027-01-15T08:00:00Z by the client's clock, it is 2027-01-15T08:05:01Z here: set the clocks, they may differ by 5m0s`},
		{"5 minutes ahead", good, now.Add(-300 * time.Second), dns.RcodeSuccess, 0, ""},
		{"further ahead", good, now.Add(-301 * time.Second), dns.RcodeNotAuth, dns.RcodeBadTime, ""},
		{"epoch", good, time.Unix(0, 0), dns.RcodeNotAuth, dns.RcodeBadTime, ""},
		{"half the MAC", truncate(t, good, 16), now, dns.RcodeNotAuth, dns.RcodeBadTrunc,
			`BADTRUNC: TSIG key "transfer.example.net.": a MAC truncated to 16 bytes, of 32: have the client send all of it`},
		{"less than that", truncate(t, good, 15), now, dns.RcodeFormatError, 0, `FORMERR: a MAC of 15 bytes, for a key of hmac-sha256.`},
		{"no MAC", truncate(t, good, 0), now, dns.RcodeFormatError, 0, ""},
		{"more than that", truncate(t, good, 33), now, dns.RcodeFormatError, 0, ""},
		{"a record after it", withRecord(t, good, false), now, dns.RcodeFormatError, 0, `FORMERR: a TSIG record isn't the last one of the message`},
		{"two of them", twice(t, good), now, dns.RcodeFormatError, 0, `FORMERR: a TSIG record isn't the last one of the message`},
		{"a byte after it", append(bytes.Clone(good), 0), now, dns.RcodeFormatError, 0, ""},
		{"a byte at its end", longer(t, good), now, dns.RcodeFormatError, 0, ""},
		{"another record announced", announce(good), now, dns.RcodeFormatError, 0, `FORMERR: a TSIG record isn't the last one of the message`},
		{"in another section", moved(good), now, dns.RcodeFormatError, 0, `FORMERR: a TSIG record isn't the last one of the message`},
		{"class IN", edit(t, good, func(rr *dns.TSIG) { rr.Hdr.Class = dns.ClassINET }), now, dns.RcodeFormatError, 0, ""},
		{"a TTL", edit(t, good, func(rr *dns.TSIG) { rr.Hdr.Ttl = 60 }), now, dns.RcodeFormatError, 0, ""},
		{"cut off", good[:len(good)-1], now, dns.RcodeFormatError, 0, `FORMERR: the message is malformed`},
		{"no header", good[:11], now, dns.RcodeFormatError, 0, ""},
		{"a record added before it", withRecord(t, good, true), now, dns.RcodeNotAuth, dns.RcodeBadSig, ""},
		{"a wider fudge", edit(t, good, func(rr *dns.TSIG) { rr.Fudge = 600 }), now, dns.RcodeNotAuth, dns.RcodeBadSig, ""},
		{"another original id", edit(t, good, func(rr *dns.TSIG) { rr.OrigId++ }), now, dns.RcodeNotAuth, dns.RcodeBadSig, ""},
		{"another id, by a forwarder", append([]byte{1, 2}, good[2:]...), now, dns.RcodeSuccess, 0, ""},
	} {
		tx, err := keys.Verify(tt.packet, tt.now)
		if tx.Rcode() != tt.rcode {
			t.Errorf("%s: rcode %d, want %d (%v)", tt.name, tx.Rcode(), tt.rcode, err)
		}
		if tt.rcode == dns.RcodeSuccess {
			if err != nil || tx.Key() == nil {
				t.Errorf("%s: refused: %v", tt.name, err)
			}
			continue
		}
		var refusal *tsig.Error
		if !errors.As(err, &refusal) || refusal.Code != tt.code || refusal.Rcode != tt.rcode || tx.Key() != nil {
			t.Errorf("%s: got %#v, key %v, want TSIG error %d", tt.name, err, tx.Key(), tt.code)
			continue
		}
		if tt.says != "" && err.Error() != tt.says {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, err, tt.says)
		}
	}
}

// TestVerify_NoticesEveryBit flips each bit of a signed message: what is
// accepted means the same. Only the ID may differ, and the case of letters in
// the names of key and algorithm.
func TestVerify_NoticesEveryBit(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	keys := ring(t, keyText(name, dns.HmacSHA512, secret))
	good := request(t, keys, name, dns.HmacSHA512, now)
	canonical := func(packet []byte) string {
		var m dns.Msg
		if err := m.Unpack(packet); err != nil {
			return "malformed"
		}
		m.Id = 0
		rr := m.IsTsig()
		rr.Hdr.Name, rr.Algorithm = dns.CanonicalName(rr.Hdr.Name), dns.CanonicalName(rr.Algorithm)
		return m.String() + rr.String()
	}
	want := canonical(good)
	for bit := range 8 * len(good) {
		packet := bytes.Clone(good)
		packet[bit/8] ^= 1 << (bit % 8)
		if tx, _ := keys.Verify(packet, now); tx.Key() != nil && canonical(packet) != want {
			t.Errorf("bit %d of byte %d may be flipped: %x", bit%8, bit/8, packet)
		}
	}
}

func TestVerify_AgreesWithTheLibrary(t *testing.T) {
	t.Parallel()
	now := time.Now() // the library looks at the clock itself
	rapid.Check(t, func(rt *rapid.T) {
		algorithm := rapid.SampledFrom(algorithms).Draw(rt, "algorithm")
		owner := dns.Fqdn(rapid.StringMatching(`[a-zA-Z0-9_]{1,20}(\.[a-z-]{1,20}){0,3}`).Draw(rt, "name"))
		keys := ring(t, keyText(owner, algorithm, secret))
		m := new(dns.Msg).SetUpdate("apps.test.")
		for range rapid.IntRange(0, 5).Draw(rt, "records") {
			m.Ns = append(m.Ns, &dns.TXT{
				Hdr: dns.RR_Header{Name: "www.apps.test.", Rrtype: dns.TypeTXT, Class: dns.ClassINET},
				Txt: []string{rapid.StringN(0, 40, 200).Draw(rt, "text")},
			})
		}
		m.Compress = rapid.Bool().Draw(rt, "compressed")
		m.SetTsig(owner, algorithm, 300, now.Unix())
		packet, requestMAC, err := dns.TsigGenerateWithProvider(m, keys.Provider(), "", false)
		if err != nil {
			rt.Fatal(err)
		}
		tx, err := keys.Verify(packet, now)
		if err != nil {
			rt.Fatalf("refused: %v", err)
		}
		var q dns.Msg
		if err := q.Unpack(packet); err != nil {
			rt.Fatal(err)
		}
		for i := range rapid.IntRange(1, 4).Draw(rt, "replies") {
			clear(packet) // the server reads the next message into it
			answer := pack(t, new(dns.Msg).SetReply(&q))
			size := len(answer) + tx.Size()
			signed := tx.Sign(answer, now)
			if len(signed) != size {
				rt.Fatalf("reply %d has %d bytes, want %d", i, len(signed), size)
			}
			if err := dns.TsigVerifyWithProvider(slices.Clone(signed), keys.Provider(), requestMAC, i > 0); err != nil {
				rt.Fatalf("the library refuses reply %d: %v", i, err)
			}
			requestMAC = mac(t, signed)
		}
	})
}

// FuzzVerify looks for packets that break it, or that are taken without a key.
func FuzzVerify(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	keys := ring(f, keyText(name, dns.HmacSHA256, secret))
	forger := ring(f, keyText(name, dns.HmacSHA256, other))
	good := request(f, forger, name, dns.HmacSHA256, now)
	f.Add(good)
	f.Add(twice(f, good))
	f.Add(truncate(f, good, 10))
	f.Add(pack(f, new(dns.Msg).SetQuestion("apps.test.", dns.TypeSOA)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packet []byte) {
		before := bytes.Clone(packet)
		tx, err := keys.Verify(packet, now)
		if !bytes.Equal(packet, before) {
			t.Fatal("the packet was changed")
		}
		if tx.Key() != nil {
			t.Fatalf("%x was taken for signed", packet)
		}
		if (err == nil) != (tx.Rcode() == dns.RcodeSuccess) {
			t.Fatalf("rcode %d with %v", tx.Rcode(), err)
		}
		answer := pack(t, new(dns.Msg).SetRcode(&dns.Msg{}, tx.Rcode()))
		size := len(answer) + tx.Size()
		signed := tx.Sign(answer, now)
		if len(signed) != size {
			t.Fatalf("the reply has %d bytes, want %d", len(signed), size)
		}
		if got, want := record(t, signed) != nil, tx.Size() > 0; got != want {
			t.Fatalf("the reply has a TSIG: %v, want %v", got, want)
		}
	})
}

// edit changes the TSIG of a packet.
func edit(tb testing.TB, packet []byte, change func(*dns.TSIG)) []byte {
	tb.Helper()
	var m dns.Msg
	if err := m.Unpack(packet); err != nil {
		tb.Fatal(err)
	}
	change(m.IsTsig())
	return pack(tb, &m)
}

// truncate makes the MAC of a packet as long as told.
func truncate(tb testing.TB, packet []byte, size int) []byte {
	tb.Helper()
	return edit(tb, packet, func(rr *dns.TSIG) {
		rr.MACSize, rr.MAC = uint16(size), (rr.MAC + strings.Repeat("00", size))[:2*size]
	})
}

// withRecord adds a record before or behind the TSIG.
func withRecord(tb testing.TB, packet []byte, before bool) []byte {
	tb.Helper()
	var m dns.Msg
	if err := m.Unpack(packet); err != nil {
		tb.Fatal(err)
	}
	at := len(m.Extra)
	if before {
		at--
	}
	m.Extra = slices.Insert(m.Extra, at, dns.RR(&dns.A{Hdr: dns.RR_Header{Name: "x.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{192, 0, 2, 1}}))
	return pack(tb, &m)
}

// twice repeats the TSIG.
func twice(tb testing.TB, packet []byte) []byte {
	tb.Helper()
	var m dns.Msg
	if err := m.Unpack(packet); err != nil {
		tb.Fatal(err)
	}
	m.Extra = append(m.Extra, m.IsTsig())
	return pack(tb, &m)
}

// moved has the records of the additional section counted as the answer's.
func moved(packet []byte) []byte {
	packet = bytes.Clone(packet)
	copy(packet[6:8], packet[10:12])
	binary.BigEndian.PutUint16(packet[10:], 0)
	return packet
}

// longer adds a byte to the data of the TSIG.
func longer(tb testing.TB, packet []byte) []byte {
	tb.Helper()
	packet = append(bytes.Clone(packet), 0)
	owner, err := dns.PackDomainName(name, make([]byte, 256), 0, nil, false)
	if err != nil {
		tb.Fatal(err)
	}
	at := bytes.Index(packet, []byte("\x08transfer")) + owner + 8
	binary.BigEndian.PutUint16(packet[at:], binary.BigEndian.Uint16(packet[at:])+1)
	return packet
}

// announce counts an additional record that isn't there.
func announce(packet []byte) []byte {
	packet = bytes.Clone(packet)
	packet[11]++
	return packet
}
