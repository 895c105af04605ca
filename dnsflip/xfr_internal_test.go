package dnsflip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"switchd/dnssec"
	"switchd/spec"
	"switchd/zone"
)

const origin = zone.Name("\x04apps\x04test\x00")

const master = `$TTL 60
@ IN SOA ns1 admin 1 300 60 1209600 5
@ IN NS ns1
ns1 IN A 192.0.2.53
own IN TXT "a record of the zone's own"
`

// parsed returns the zone of a master file.
func parsed(tb testing.TB, text string) *zone.Zone {
	tb.Helper()
	z, err := zone.Parse(strings.NewReader(text), origin, "apps.zone")
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

// laid returns a zone with nodes laid over it.
func laid(tb rapid.TB, z *zone.Zone, serial uint32, nodes ...*zone.Node) *zone.Zone {
	tb.Helper()
	z, err := z.With(serial, nodes)
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

// leaf returns a node with records, or with alternatives: "weight: record |
// weight: record".
func leaf(tb rapid.TB, label, rdata string) *zone.Node {
	tb.Helper()
	name, err := zone.ParseName(label + ".apps.test")
	if err != nil {
		tb.Fatal(err)
	}
	n := &zone.Node{Name: name, Unit: label}
	if rdata == "" {
		return n
	}
	set := func(rdata string) []zone.Set {
		var s zone.Set
		for text := range strings.SplitSeq(rdata, ";") {
			rr, err := dns.NewRR(name.String() + " " + text)
			if err != nil {
				tb.Fatal(err)
			}
			s.Type = rr.Header().Rrtype
			s.RRs = append(s.RRs, rr)
		}
		return []zone.Set{s}
	}
	if !strings.Contains(rdata, "|") {
		n.Sets = set(rdata)
		return n
	}
	for choice := range strings.SplitSeq(rdata, "|") {
		weight, rdata, _ := strings.Cut(choice, ":")
		w, err := strconv.Atoi(strings.TrimSpace(weight))
		if err != nil {
			tb.Fatal(err)
		}
		n.Choices = append(n.Choices, zone.Choice{Weight: w, Sets: set(rdata)})
	}
	return n
}

func texts(seq func(func(dns.RR) bool)) map[string]bool {
	set := map[string]bool{}
	for rr := range seq {
		set[rr.String()] = true
	}
	return set
}

func TestIncremental_LeadsFromAnyKnownVersionToTheNewest(t *testing.T) {
	t.Parallel()
	base := parsed(t, master)
	rdata := []string{"", "5 CNAME blue", "60 CNAME blue", "5 A 192.0.2.1", "5 A 192.0.2.1;5 A 192.0.2.2", "5 TXT x", "10: 5 CNAME blue | 90: 5 CNAME green", "0: 5 CNAME blue | 100: 5 CNAME green"}
	rapid.Check(t, func(t *rapid.T) {
		var h history
		serial := rapid.Uint32().Draw(t, "first serial")
		nodes := map[string]*zone.Node{}
		for range rapid.IntRange(1, 8).Draw(t, "versions") {
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				label := rapid.SampledFrom([]string{"web", "a.web", "ns1", "own", "deep.er"}).Draw(t, "label")
				if rapid.Bool().Draw(t, "gone") {
					delete(nodes, label)
					continue
				}
				nodes[label] = leaf(t, label, rapid.SampledFrom(rdata).Draw(t, "rdata"))
			}
			h = h.with(laid(t, base, serial, slices.Collect(maps.Values(nodes))...))
			serial += rapid.Uint32Range(1, 1<<30).Draw(t, "step")
		}
		now := h.versions[len(h.versions)-1]
		old := h.since(rapid.SampledFrom(h.versions).Draw(t, "version").Serial())
		if old == now {
			return
		}
		got := texts(old.Records())
		if err := apply(got, slices.Collect(incremental(old, now))); err != nil {
			t.Fatal(err)
		}
		if want := texts(now.Records()); !maps.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	})
}

// apply does what a secondary does, RFC 1995 section 4: it takes nothing away
// that isn't there, and adds nothing that is.
func apply(zone map[string]bool, answer []dns.RR) error {
	last := len(answer) - 1
	if last < 3 || answer[0].String() != answer[last].String() {
		return fmt.Errorf("the answer isn't between two copies of a SOA record: %v", answer)
	}
	deleting := false
	for _, rr := range answer[1:last] {
		if _, ok := rr.(*dns.SOA); ok {
			deleting = !deleting
		}
		if zone[rr.String()] != deleting {
			return fmt.Errorf("%s: it is there: %t, and to be deleted: %t", rr, zone[rr.String()], deleting)
		}
		if delete(zone, rr.String()); !deleting {
			zone[rr.String()] = true
		}
	}
	if deleting || !zone[answer[0].String()] {
		return errors.New("the differences end without the newest SOA record")
	}
	return nil
}

func TestHistory_ForgetsWhatLeadsNowhere(t *testing.T) {
	t.Parallel()
	base, other := parsed(t, master), parsed(t, master)
	at := func(serial uint32) *zone.Zone { return laid(t, base, serial) }
	for _, tt := range []struct {
		name     string
		versions []*zone.Zone
		known    []uint32
		unknown  []uint32
	}{
		{"versions", []*zone.Zone{at(1), at(2), at(5)}, []uint32{1, 2, 5}, []uint32{0, 3, 6}},
		{"around the end of the numbers", []*zone.Zone{at(1<<32 - 1), at(0)}, []uint32{1<<32 - 1, 0}, []uint32{1}},
		{"other data of its own", []*zone.Zone{at(1), laid(t, other, 2)}, []uint32{2}, []uint32{1}},
		{"an older serial", []*zone.Zone{at(7), at(5), at(6)}, []uint32{5, 6}, []uint32{7}},
		{"the same serial with other data", []*zone.Zone{at(1), at(1), at(2)}, []uint32{2}, []uint32{1}},
	} {
		var h history
		for _, z := range tt.versions {
			h = h.with(z)
		}
		for _, serial := range tt.known {
			if z := h.since(serial); z == nil || z.Serial() != serial {
				t.Errorf("%s: %d isn't known", tt.name, serial)
			}
		}
		for _, serial := range tt.unknown {
			if h.since(serial) != nil {
				t.Errorf("%s: %d is known", tt.name, serial)
			}
		}
	}
}

func TestHistory_IsBounded(t *testing.T) {
	t.Parallel()
	base := parsed(t, master)
	var h history
	for serial := range uint32(3 * maxVersions) {
		h = h.with(laid(t, base, serial))
	}
	if len(h.versions) != maxVersions || h.since(2*maxVersions) == nil || h.since(2*maxVersions-1) != nil {
		t.Errorf("got %d versions from %d, want the last %d", len(h.versions), h.versions[0].Serial(), maxVersions)
	}
}

func TestPeers_AreWhomTheSpecNames(t *testing.T) {
	t.Parallel()
	p, err := peersOf(spec.Zone{
		Name:        "apps.test",
		Secondaries: []spec.Secondary{{Address: "192.0.2.1:53"}, {Address: "[2001:db8::1]:53", Key: "Xfer"}},
		Transfer:    []string{"198.51.100.7/24", "203.0.113.9", "key:other.test."},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		client, key string
		want        bool
	}{
		{"192.0.2.1", "", true},
		{"192.0.2.1", "unknown.", true},
		{"192.0.2.2", "", false},
		{"2001:db8::1", "", false}, // it has a key
		{"2001:db8::2", "xfer.", true},
		{"198.51.100.99", "", true},
		{"198.51.101.1", "", false},
		{"203.0.113.9", "", true},
		{"203.0.113.8", "", false},
		{"203.0.113.8", "other.test.", true},
	} {
		if got := p.allow(netip.MustParseAddr(tt.client), tt.key); got != tt.want {
			t.Errorf("%s with key %q: got %t, want %t", tt.client, tt.key, got, tt.want)
		}
	}
	if (peers{}).allow(netip.MustParseAddr("127.0.0.1"), "xfer.") || (Transfer{}).allows(netip.MustParseAddr("127.0.0.1"), "xfer.") {
		t.Error("somebody may copy a zone that nobody may")
	}
}

func TestPeers_AreRefusedWithThePlace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		zone spec.Zone
		want string
	}{
		{spec.Zone{Name: "apps.test", Transfer: []string{"everybody"}}, `"everybody": it must be an address`},
		{spec.Zone{Name: "apps.test", Transfer: []string{"key:"}}, `"key:": it must be an address`},
		{spec.Zone{Name: "apps.test", Secondaries: []spec.Secondary{{Address: "ns1"}}}, `"ns1" must be ADDRESS:PORT`},
		{spec.Zone{Name: "apps.test", Secondaries: make([]spec.Secondary, maxSecondaries+1)}, "65 secondaries"},
	} {
		if _, err := peersOf(tt.zone); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "apps.test") {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// asked returns a request for the zone.
func asked(tb testing.TB, qtype uint16, via transport) *request {
	tb.Helper()
	m := new(dns.Msg)
	m.SetQuestion("Apps.Test.", qtype)
	packet, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	q := &query{}
	if !q.parse(packet) {
		tb.Fatal("the query is none")
	}
	return &request{
		query: q, client: netip.MustParseAddr("192.0.2.1"), via: via,
		option: func(message []byte) []byte { return message },
	}
}

// anybody may copy a zone.
func anybody(z *zone.Zone) *served {
	return &served{zone: z, peers: newPeers([]Transfer{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}}, nil)}
}

// longs is how many records of 50 kB a large zone has.
const longs = 3

// large returns a master file with many records.
func large(n int) string {
	var b strings.Builder
	b.WriteString(master)
	for i := range n {
		fmt.Fprintf(&b, "host-%d 60 IN A 10.%d.%d.%d\n", i, i>>16, i>>8&0xff, i&0xff)
	}
	long := strings.Repeat(` "`+strings.Repeat("x", 250)+`"`, 200)
	for i := range longs {
		fmt.Fprintf(&b, "long-%d 60 IN TXT%s\n", i, long)
	}
	return b.String()
}

func TestServe_SendsALargeZoneInBoundedMessages(t *testing.T) {
	t.Parallel()
	const n = 20_000
	z := parsed(t, large(n))
	got := map[string]int{}
	var soas, messages int
	take := func(packet []byte) error {
		var m dns.Msg
		if err := m.Unpack(packet); err != nil {
			return err
		}
		messages++
		if len(packet) > transferMessage && len(m.Answer) > 1 {
			t.Errorf("message %d has %d bytes", messages, len(packet))
		}
		if len(m.Question) != 1 || m.Question[0].Name != "Apps.Test." || !m.Authoritative {
			t.Errorf("message %d is %s", messages, m.MsgHdr.String())
		}
		for _, rr := range m.Answer {
			if rr.Header().Rrtype == dns.TypeSOA {
				soas++
				continue
			}
			got[rr.String()]++
		}
		return nil
	}
	r := asked(t, dns.TypeAXFR, tcp)
	r.send = take
	last, rcode, err := newTransfers(slog.New(slog.DiscardHandler)).serve(r, anybody(z))
	if err != nil || rcode != dns.RcodeSuccess {
		t.Fatal(rcode, err)
	}
	if err := take(last); err != nil {
		t.Fatal(err)
	}
	if soas != 2 {
		t.Errorf("got %d SOA records, want the first and the last", soas)
	}
	want := 0
	for rr := range z.Records() {
		if rr.Header().Rrtype == dns.TypeSOA {
			continue
		}
		if want++; got[rr.String()] != 1 {
			t.Fatalf("%s: got it %d times", rr, got[rr.String()])
		}
	}
	if len(got) != want || want != n+3+longs {
		t.Errorf("got %d records, want %d", len(got), want)
	}
	// Of some 35 bytes each before their names are compressed.
	if most := n*36/transferMessage + 10; messages > most {
		t.Errorf("got %d messages, want at most %d", messages, most)
	}
}

// The transfer of a large zone takes a buffer, not a copy of the zone.
func TestServe_TakesLittleMemory(t *testing.T) { // not parallel: it counts all that is allocated
	z := anybody(parsed(t, large(50_000)))
	transfers := newTransfers(slog.New(slog.DiscardHandler))
	r := asked(t, dns.TypeAXFR, tcp)
	var before, during runtime.MemStats
	count := 0
	r.send = func([]byte) error {
		if count++; count == 50 {
			runtime.GC()
			runtime.ReadMemStats(&during)
		}
		return nil
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	if _, rcode, err := transfers.serve(r, z); err != nil || rcode != dns.RcodeSuccess {
		t.Fatal(rcode, err)
	}
	if count < 50 {
		t.Fatalf("got %d messages, want at least 50", count)
	}
	if grown := int64(during.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d bytes more are in use in the middle of a transfer", grown)
	}
	runtime.KeepAlive(z)
}

func TestServe_LeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	z := anybody(parsed(t, large(2000)))
	transfers := newTransfers(slog.New(slog.DiscardHandler))
	stuck, free := make(chan struct{}, maxTransfers), make(chan struct{})
	done := make(chan error)
	for range maxTransfers {
		r := asked(t, dns.TypeAXFR, tcp)
		r.send = func([]byte) error {
			stuck <- struct{}{}
			<-free
			return io.ErrClosedPipe
		}
		go func() {
			_, _, err := transfers.serve(r, z)
			done <- err
		}()
	}
	for range maxTransfers {
		<-stuck
	}
	if _, rcode, err := transfers.serve(asked(t, dns.TypeAXFR, tcp), z); err != nil || rcode != dns.RcodeServerFailure {
		t.Errorf("with %d transfers: got %d, %v, want SERVFAIL", maxTransfers, rcode, err)
	}
	close(free)
	for range maxTransfers {
		if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v, want why it was not sent", err)
		}
	}
	r := asked(t, dns.TypeAXFR, tcp)
	r.send = func([]byte) error { return nil }
	if last, rcode, err := transfers.serve(r, z); err != nil || rcode != dns.RcodeSuccess || len(last) == 0 {
		t.Errorf("afterwards: got %d, %v, want the zone", rcode, err)
	}
}

func TestServe_NamesARecordThatHasNoRoom(t *testing.T) {
	t.Parallel()
	z := anybody(parsed(t, master+`vast 60 IN TYPE65280 \# 65000 `+strings.Repeat("00", 65_000)+"\n"))
	r := asked(t, dns.TypeAXFR, tcp)
	r.send = func([]byte) error { return nil }
	last, _, err := newTransfers(slog.New(slog.DiscardHandler)).serve(r, z)
	if want := "vast.apps.test. TYPE65280"; err == nil || !strings.Contains(err.Error(), want) || last != nil {
		t.Errorf("got %v, want an error with %s", err, want)
	}
}

func TestServe_EndsSlowTransfers(t *testing.T) {
	t.Parallel()
	z := anybody(parsed(t, large(50_000)))
	synctest.Test(t, func(t *testing.T) {
		transfers := newTransfers(slog.New(slog.DiscardHandler))
		began := time.Now()
		r := asked(t, dns.TypeAXFR, tcp)
		r.send = func([]byte) error {
			time.Sleep(transferPatience - time.Millisecond)
			return nil
		}
		if _, _, err := transfers.serve(r, z); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want an end", err)
		}
		if took := time.Since(began); took > transferTime+transferPatience {
			t.Errorf("it took %s", took)
		}
	})
}

func TestStreamTo_WaitsForASlowClientForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close() //nolint:errcheck // a test's client
		defer server.Close() //nolint:errcheck // a test's server
		send := streamTo(server)
		message := bytes.Repeat([]byte{7}, 1000)
		read := make(chan []byte)
		go func() {
			time.Sleep(transferPatience - time.Millisecond)
			frame := make([]byte, 1002)
			if _, err := io.ReadFull(client, frame); err != nil {
				t.Error(err)
			}
			read <- frame
		}()
		if err := send(message); err != nil {
			t.Fatal(err)
		}
		if frame := <-read; int(binary.BigEndian.Uint16(frame)) != len(message) || !bytes.Equal(frame[2:], message) {
			t.Errorf("got %v", frame[:10])
		}
		began := time.Now()
		if err := send(message); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != transferPatience {
			t.Errorf("got %v after %s, want an end after %s", err, time.Since(began), transferPatience)
		}
	})
}

func TestPlan_RefusesAsTheRFCsSay(t *testing.T) {
	t.Parallel()
	z := anybody(parsed(t, master))
	other := asked(t, dns.TypeAXFR, tcp)
	other.query.lower[1] = 'x'
	stranger := asked(t, dns.TypeAXFR, tcp)
	stranger.client = netip.MustParseAddr("2001:db8::1")
	signed := anybody(z.zone)
	signed.signer = &dnssec.Signer{}
	for _, tt := range []struct {
		name string
		r    *request
		want int
	}{
		{"AXFR by UDP", asked(t, dns.TypeAXFR, udp), dns.RcodeFormatError},
		{"IXFR without serial", asked(t, dns.TypeIXFR, tcp), dns.RcodeFormatError},
		{"another name", other, dns.RcodeNotAuth},
		{"a stranger", stranger, dns.RcodeRefused},
	} {
		if last, rcode, err := newTransfers(slog.New(slog.DiscardHandler)).serve(tt.r, z); rcode != tt.want || err != nil || last != nil {
			t.Errorf("%s: got %s and %v, want %s", tt.name, dns.RcodeToString[rcode], err, dns.RcodeToString[tt.want])
		}
	}
	if _, rcode, err := newTransfers(slog.New(slog.DiscardHandler)).serve(asked(t, dns.TypeAXFR, tcp), signed); rcode != dns.RcodeRefused || err != nil {
		t.Errorf("a zone that is signed online: got %s and %v, want REFUSED", dns.RcodeToString[rcode], err)
	}
}

func FuzzIxfrSerial(f *testing.F) {
	m := new(dns.Msg)
	m.SetIxfr("apps.test.", 7, "ns1.apps.test.", "admin.apps.test.")
	packet, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packet)
	f.Add(packet[:len(packet)-10])
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		serial, ok := ixfrSerial(packet)
		var m dns.Msg
		if ok && (m.Unpack(packet) != nil || m.Ns[0].(*dns.SOA).Serial != serial) {
			t.Errorf("%x: got %d", packet, serial)
		}
	})
}
