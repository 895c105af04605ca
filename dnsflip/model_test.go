package dnsflip

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"switchd/dnssec"
	"switchd/spec"
)

// mastered has a zone file, and the service web over it.
func mastered(serial uint32, file string) View {
	sum := sha256.Sum256([]byte(file))
	return View{
		Zone: spec.Zone{
			Name: "apps.test", NameServers: []string{"ns1.apps.test", "ns2.apps.test"}, Admin: "a@example.net",
			TTL: spec.Duration(time.Minute), NegativeTTL: spec.Duration(5 * time.Second),
			File: &spec.ZoneFile{Name: "apps.zone", SHA256: hex.EncodeToString(sum[:])},
		},
		ZoneFile: []byte(file), Serial: serial,
		Flips: map[string]Flip{"web": {
			Service: "web", Live: spec.Blue, TTL: spec.Duration(5 * time.Second),
			Pools: map[string][]netip.Addr{spec.Blue: {netip.MustParseAddr("192.0.2.1")}},
		}},
	}
}

// modelLabels are few, so that a zone's own names, those of flips and the
// targets of both often meet.
func modelLabels() []string {
	return []string{
		"web", "api", "web-blue", "web-green", "shop-blue", "192-0-2-1.web-blue", "ns1", "ns2", "a", "x.a", "b", "sub", "ns.sub",
		"*", "*.a", "*.web", "*.web-blue", "*.ns1", "Mixed",
	}
}

// modelNames are what is asked for: those labels, and names below and beside.
func modelNames() []string {
	names := []string{"apps.test."}
	for _, label := range append(modelLabels(), "q", "y.a", "z.y.a", "h.sub", "q.web", "shop-green", "192-0-2-2.web-blue", "q.192-0-2-2.web-blue", "q.ns1") {
		names = append(names, label+".apps.test.")
	}
	return names
}

func drawFile(t *rapid.T) string {
	var file strings.Builder
	file.WriteString("$TTL 60\n")
	used := map[string]string{}
	for range rapid.IntRange(1, 12).Draw(t, "lines") {
		owner := rapid.SampledFrom(modelLabels()).Draw(t, "owner")
		kind := rapid.SampledFrom([]string{"A", "TXT", "CNAME", "MX", "NS", "DNAME", "SRV"}).Draw(t, "type")
		alone := kind == "CNAME" || kind == "DNAME"
		if was := used[owner]; was == "CNAME" || was == "DNAME" || was != "" && alone || owner[0] == '*' && (kind == "NS" || kind == "DNAME") {
			continue
		}
		used[owner] = kind
		target := rapid.SampledFrom(append(modelLabels(), "q", "q.ns1", "apps.test.", "else.example.")).Draw(t, "target")
		target = strings.ReplaceAll(target, "*", "q")
		switch kind {
		case "A":
			fmt.Fprintf(&file, "%s A 192.0.2.100\n%s A 192.0.2.101\n", owner, owner)
		case "TXT":
			fmt.Fprintf(&file, "%s TXT text\n", owner)
		case "MX":
			fmt.Fprintf(&file, "%s MX 10 %s\n", owner, target)
		case "SRV":
			fmt.Fprintf(&file, "%s SRV 1 2 3 %s\n", owner, target)
		default:
			fmt.Fprintf(&file, "%s %s %s\n", owner, kind, target)
		}
	}
	return file.String()
}

func drawFlip(t *rapid.T, label string) Flip {
	pool := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte{192, 0, 2, rapid.ByteRange(1, 3).Draw(t, "host")})
	}), 0, 2, rapid.ID)
	f := Flip{
		Service: label, TTL: spec.Duration(5 * time.Second),
		Live:     rapid.SampledFrom([]string{spec.Blue, spec.Green, ""}).Draw(t, "live"),
		Pools:    map[string][]netip.Addr{spec.Blue: pool.Draw(t, "blue"), spec.Green: pool.Draw(t, "green")},
		Port:     rapid.SampledFrom([]uint16{0, 80}).Draw(t, "port"),
		PoolName: rapid.SampledFrom([]string{"", "", "shop"}).Draw(t, "pool name"),
	}
	if label == Apex {
		f.PoolName = "site"
	}
	if rapid.Bool().Draw(t, "weighed") {
		f.Weights = map[string]int{spec.Blue: 30, spec.Green: 70}
	}
	if label != Apex && rapid.Bool().Draw(t, "led away") {
		f.Targets = map[string]string{spec.Blue: "a.apps.test", spec.Green: "ns1.apps.test"}
	}
	return f
}

// drawChange changes one thing of a view.
func drawChange(t *rapid.T, v *View, files []string) {
	switch rapid.SampledFrom([]string{"flip", "flip", "flip", "remove", "file", "servers", "sign"}).Draw(t, "change") {
	case "flip":
		label := rapid.SampledFrom([]string{"web", "api", Apex}).Draw(t, "label")
		v.Flips[label] = drawFlip(t, label)
	case "remove":
		delete(v.Flips, rapid.SampledFrom([]string{"web", "api", Apex}).Draw(t, "label"))
	case "file":
		file := mastered(0, rapid.SampledFrom(files).Draw(t, "file"))
		v.Zone.File, v.ZoneFile = file.Zone.File, file.ZoneFile
	case "servers":
		v.NameServerAddrs = nil
		if host := rapid.SampledFrom([]string{"", "ns1.apps.test", "ns2.apps.test"}).Draw(t, "host"); host != "" {
			v.NameServerAddrs = map[string][]netip.Addr{host: {netip.MustParseAddr("192.0.2.53")}}
		}
	case "sign":
		v.Zone.DNSSEC = !v.Zone.DNSSEC
	}
}

// TestServer_AnswersAsIfItKnewThisViewOnly publishes view after view, some of
// them invalid, and asks for all names each time: what was built and kept for
// the views before may not be seen.
func TestServer_AnswersAsIfItKnewThisViewOnly(t *testing.T) {
	t.Parallel()
	key, err := dnssec.Generate(t.TempDir(), origin, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		keys := Config{Keys: []dnssec.Key{key}}
		files := []string{drawFile(t), drawFile(t)}
		types := rapid.SliceOfNDistinct(rapid.SampledFrom([]uint16{
			dns.TypeA, dns.TypeMX, dns.TypeTXT, dns.TypeNS, dns.TypeSRV, dns.TypeCNAME, dns.TypeSOA, dns.TypeDS, dns.TypeHTTPS, dns.TypeANY,
		}), 1, 4, rapid.ID).Draw(t, "types asked for")
		warm, v := quiet(keys), mastered(0, files[0])
		for range rapid.IntRange(1, 14).Draw(t, "views") {
			v.Serial++
			if warm.Publish(v) == nil {
				cold := quiet(keys)
				if err := cold.Publish(*warm.View()); err != nil {
					t.Fatalf("a view that is served is refused by a server that knows no other: %v", err)
				}
				signed, seed := rapid.Bool().Draw(t, "DO"), rapid.Uint64().Draw(t, "seed")
				for _, name := range modelNames() {
					for _, qtype := range types {
						compare(t, warm, cold, name, qtype, signed, seed)
					}
				}
			}
			if served := warm.View(); served != nil {
				serial := v.Serial
				v = served.normal()
				v.Serial = serial
			}
			drawChange(t, &v, files)
		}
	})
}

// compare asks a server that knows former views, and one that doesn't and
// looks each answer up.
func compare(t *rapid.T, warm, cold *Server, name string, qtype uint16, signed bool, seed uint64) {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.Id = 7
	if signed {
		m.SetEdns0(maxUDP, true)
	}
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var q query
	if !q.parse(packet) || q.malformed {
		t.Fatalf("%s can't be parsed", m)
	}
	now, known := time.Now(), cold.current.Load().only
	cold.stamps += 2 // so that nothing holds that was kept
	anew := &served{zone: known.zone, serial: known.serial, signer: known.signer, stable: cold.stamps, fresh: cold.stamps + 1, kept: new(atomic.Int64)}
	var replies [][]byte
	for _, z := range []*served{warm.current.Load().only, anew} {
		p, err := z.answer(&q, fixed(seed), now)
		if err != nil {
			replies = append(replies, []byte(err.Error()))
			continue
		}
		replies = append(replies, p.emit(nil, &q, z.serial, dns.MaxMsgSize, seed))
	}
	if !bytes.Equal(replies[0], replies[1]) {
		t.Fatalf("%s %s:\n%s\nbut of this view alone\n%s\nzone file\n%s", name, dns.Type(qtype), readable(replies[0]), readable(replies[1]), warm.View().ZoneFile)
	}
}

// readable shows a reply, or the error in its place.
func readable(reply []byte) string {
	var m dns.Msg
	if err := m.Unpack(slices.Clone(reply)); err != nil {
		return string(reply)
	}
	return m.String()
}
