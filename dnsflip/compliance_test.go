package dnsflip_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip"
	"switchd/spec"
)

// Bits of the header's flags, RFC 1035 section 4.1.1 and RFC 4035 section 3.
const (
	flagQR = 1 << 15
	flagAA = 1 << 10
	flagTC = 1 << 9
	flagRD = 1 << 8
	flagRA = 1 << 7
	flagZ  = 1 << 6
	flagAD = 1 << 5
	flagCD = 1 << 4

	flagsOpcode = 0xf << 11
	flagsRcode  = 0xf
	flagDO      = 1 << 15 // of EDNS
)

// opcodeUnknown is one that nobody has defined.
const opcodeUnknown = 15

// Options as they are written in an OPT record.
const (
	optNSID      = "\x00\x03\x00\x00"
	optSubnet    = "\x00\x08\x00\x04\x00\x01\x00\x00"
	optExpire    = "\x00\x09\x00\x00"
	optCookie    = "\x00\x0a\x00\x08" + clientCookie
	optKeepalive = "\x00\x0b\x00\x00"
	optPadding   = "\x00\x0c\x00\x10" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	optUnknown   = "\x00\x64\x00\x00"

	clientCookie = "\x01\x02\x03\x04\x05\x06\x07\x08"
)

// probe is one query of a compliance test, for the apex of a zone.
type probe struct {
	opcode  int // but for QUERY, the message is the header alone
	flags   uint16
	qtype   uint16 // 0: SOA
	size    uint16 // of EDNS; 0: without
	version byte
	eflags  uint16
	options string
	tcp     bool
	ignore  bool // the TC bit: it isn't asked again by TCP
}

// probes are those that genreport of ISC's DNS-Compliance-Testing sends, by
// its names for them, and those that newer options ask for. What RFC 8906
// section 8 describes are most of them.
func probes() map[string]probe {
	return map[string]probe{
		"dns":       {},
		"aa":        {flags: flagAA},
		"ad":        {flags: flagAD},
		"cd":        {flags: flagCD},
		"ra":        {flags: flagRA},
		"rd":        {flags: flagRD},
		"tc":        {flags: flagTC},
		"zflag":     {flags: flagZ},
		"opcode":    {opcode: opcodeUnknown},
		"opcodeflg": {opcode: opcodeUnknown, flags: flagAA | flagTC | flagRD | flagRA | flagZ | flagAD | flagCD},
		"type666":   {qtype: 666},
		"tcp":       {tcp: true},

		"edns":      {size: 4096},
		"edns1":     {size: 4096, version: 1},
		"edns@512":  {size: 512, eflags: flagDO, qtype: dns.TypeDNSKEY, ignore: true},
		"ednsopt":   {size: 4096, options: optUnknown},
		"edns1opt":  {size: 4096, options: optUnknown, version: 1},
		"do":        {size: 4096, eflags: flagDO},
		"docd":      {size: 4096, eflags: flagDO, flags: flagCD},
		"edns1do":   {size: 4096, eflags: flagDO, version: 1},
		"ednsflags": {size: 4096, eflags: 0x0080},
		"optlist":   {size: 4096, options: optNSID + optSubnet + optExpire + optCookie},
		"ednstcp":   {size: 512, eflags: flagDO, qtype: dns.TypeDNSKEY, tcp: true},

		"ednsnsid":    {size: 4096, options: optNSID},
		"ednscookie":  {size: 4096, options: optCookie},
		"ednsexpire":  {size: 4096, options: optExpire},
		"ednssubnet":  {size: 4096, options: optSubnet},
		"edns1nsid":   {size: 4096, options: optNSID, version: 1},
		"edns1cookie": {size: 4096, options: optCookie, version: 1},
		"edns1expire": {size: 4096, options: optExpire, version: 1},
		"edns1subnet": {size: 4096, options: optSubnet, version: 1},

		"bind11": {size: 4096, eflags: flagDO, options: optCookie},
		"dig11":  {size: 4096, flags: flagRD | flagAD, options: optCookie},

		"keepalive":        {size: 4096, options: optKeepalive, tcp: true}, // RFC 7828
		"keepalive by UDP": {size: 4096, options: optKeepalive},
		"padding":          {size: 4096, options: optPadding}, // RFC 7830
		"size 1":           {size: 1},                         // less than 512 counts as 512, RFC 6891 section 6.2.3
		"soa@512":          {size: 512, ignore: true},
		"everything":       {size: 4096, flags: flagAA | flagTC | flagRD | flagRA | flagZ | flagAD | flagCD, eflags: 0xffff, options: optNSID + optSubnet + optExpire + optCookie + optKeepalive + optPadding + optUnknown},
	}
}

// zoneTypes are the types that genreport asks an apex for, one by one: all
// that have been given out, whatever became of them, but for transfers.
func zoneTypes() []uint16 {
	types := []uint16{
		3, 4, 7, 8, 9, // MD MF MB MG MR, gone since RFC 973
		11, 14, 19, 20, 21, 22, 23, 24, 25, 26, 27, 30, 38, // WKS MINFO X25 ISDN RT NSAP NSAP-PTR SIG KEY PX GPOS NXT A6
		99, 104, 105, 106, 107, 258, 259, 32769, 1000, // SPF NID L32 L64 LP AVC DOA DLV, and one that is no type
	}
	for t := range dns.TypeToString {
		switch t {
		case dns.TypeNone, dns.TypeReserved, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY, // none of a zone
			dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB, dns.TypeANY,
			dns.TypeNXNAME: // RFC 9824 section 3.5 asks for FORMERR
		default:
			types = append(types, t)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

func TestServer_PassesEachProbeOfTheComplianceReport(t *testing.T) {
	t.Parallel()
	for what, view := range map[string]dnsflip.View{"a live service": testView(7, spec.Green), "none": emptyView(testView(7, ""))} {
		server, addr := start(t, dnsflip.Config{ID: "ns1"})
		publish(t, server, view)
		for name, p := range probes() {
			t.Run(what+"/"+name, func(t *testing.T) {
				t.Parallel()
				for _, fault := range p.ask(t, addr, view.Zone.Name) {
					t.Error(fault)
				}
			})
		}
		t.Run(what+"/types", func(t *testing.T) {
			t.Parallel()
			for _, qtype := range zoneTypes() {
				for _, fault := range (probe{qtype: qtype}).ask(t, addr, view.Zone.Name) {
					t.Errorf("%s: %s", dns.Type(qtype), fault)
				}
			}
		})
	}
}

// emptyView leaves the zone's own data.
func emptyView(v dnsflip.View) dnsflip.View {
	v.Flips = maps.Clone(v.Flips)
	clear(v.Flips)
	return v
}

// ask sends the probe and returns what is wrong with the reply, in the words
// of genreport. A truncated reply by UDP is followed by TCP.
func (p probe) ask(t *testing.T, addr, zone string) []string {
	t.Helper()
	query := p.packet(zone)
	if p.tcp {
		return p.judge(query, exchangeTCP(t, addr, query))
	}
	reply := raw(t, addr, query)
	if len(reply) > 2 && binary.BigEndian.Uint16(reply[2:])&flagTC != 0 && !p.ignore {
		reply = exchangeTCP(t, addr, query)
	}
	return p.judge(query, reply)
}

func (p probe) question() uint16 {
	if p.qtype == 0 {
		return dns.TypeSOA
	}
	return p.qtype
}

// packet writes the probe. It uses no library: what a library can't write is
// what servers stumble over.
func (p probe) packet(zone string) []byte {
	const id = 0x1d2c
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, uint16(p.opcode)<<11|p.flags)
	b = append(b, make([]byte, 8)...)
	if p.opcode == dns.OpcodeQuery {
		b[5] = 1
		for label := range strings.SplitSeq(zone, ".") {
			b = append(append(b, byte(len(label))), label...)
		}
		b = append(b, 0)
		b = binary.BigEndian.AppendUint16(b, p.question())
		b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	}
	if p.size > 0 {
		b[11] = 1
		b = append(b, 0, 0, byte(dns.TypeOPT))
		b = binary.BigEndian.AppendUint16(b, p.size)
		b = append(b, 0, p.version)
		b = binary.BigEndian.AppendUint16(b, p.eflags)
		b = binary.BigEndian.AppendUint16(b, uint16(len(p.options)))
		b = append(b, p.options...)
	}
	return b
}

// exchangeTCP sends a query over a connection of its own.
func exchangeTCP(t *testing.T, addr string, query []byte) []byte {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's client
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		t.Fatal(err)
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		t.Fatal(err)
	}
	return reply
}

// reply is a reply taken apart.
type reply struct {
	flags     uint16
	questions int
	sections  [3][]dns.RR // answer, authority, additional; without OPT
	opt       *dns.OPT
}

// takeApart parses a reply, strictly: every count is right, every record can
// be read, there is one OPT at most, and no byte is left.
func takeApart(packet, query []byte) (reply, error) {
	if len(packet) < 12 || packet[0] != query[0] || packet[1] != query[1] {
		return reply{}, errors.New("no reply to this query")
	}
	r := reply{flags: binary.BigEndian.Uint16(packet[2:]), questions: int(binary.BigEndian.Uint16(packet[4:]))}
	off := 12
	if r.questions > 0 {
		end := questionEnd(query)
		if r.questions != 1 || len(packet) < end || string(packet[12:end]) != string(query[12:end]) {
			return reply{}, errors.New("the question isn't the one that was asked")
		}
		off = end
	}
	for i := range r.sections {
		for range binary.BigEndian.Uint16(packet[6+2*i:]) {
			rr, next, err := dns.UnpackRR(packet, off)
			if err != nil {
				return reply{}, fmt.Errorf("record at byte %d: %w", off, err)
			}
			off = next
			opt, ok := rr.(*dns.OPT)
			switch {
			case !ok:
				r.sections[i] = append(r.sections[i], rr)
			case i != 2 || r.opt != nil || opt.Hdr.Name != ".":
				return reply{}, errors.New("an OPT where none may be")
			default:
				r.opt = opt
			}
		}
	}
	if off != len(packet) {
		return reply{}, fmt.Errorf("%d bytes follow the last record", len(packet)-off)
	}
	return r, nil
}

// questionEnd returns where the question of a probe ends.
func questionEnd(query []byte) int {
	off := 12
	for query[off] != 0 {
		off += 1 + int(query[off])
	}
	return off + 1 + 4
}

// judge tells what is wrong with the reply to a probe, by the rules of
// genreport.
func (p probe) judge(query, packet []byte) []string {
	r, err := takeApart(packet, query)
	if err != nil {
		return []string{"malformed: " + err.Error()}
	}
	var faults []string
	wrong := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	is := func(flag uint16) bool { return r.flags&flag != 0 }
	asked := func(flag uint16) bool { return p.opcode == dns.OpcodeQuery && p.flags&flag != 0 }

	rcode, version, eflags := int(r.flags&flagsRcode), byte(0), uint16(0)
	if r.opt != nil {
		rcode |= int(r.opt.Hdr.Ttl>>24) << 4
		version, eflags = byte(r.opt.Hdr.Ttl>>16), uint16(r.opt.Hdr.Ttl)
	}
	want := dns.RcodeSuccess
	switch {
	case p.opcode != dns.OpcodeQuery:
		want = dns.RcodeNotImplemented
	case p.version > 0:
		want = dns.RcodeBadVers
	}
	wrong(rcode != want, "rcode %d, want %d", rcode, want)
	wrong(!is(flagQR), "noqr")
	wrong(int(r.flags&flagsOpcode>>11) != p.opcode, "opcode %d, want %d", r.flags&flagsOpcode>>11, p.opcode)

	if p.opcode != dns.OpcodeQuery {
		wrong(r.questions != 0, "non-empty-question-section")
		for i, name := range []string{"answer", "authority", "additional"} {
			wrong(len(r.sections[i]) > 0, "non-empty-%s-section", name)
		}
	} else {
		wrong(r.questions != 1, "no question")
	}
	wrong(is(flagAA) != (want == dns.RcodeSuccess), "aa is %v", is(flagAA))
	wrong(is(flagRA), "ra")
	wrong(is(flagRD) != asked(flagRD) && p.opcode == dns.OpcodeQuery, "rd is %v", is(flagRD))
	wrong(is(flagAD) && !asked(flagAD) && p.eflags&flagDO == 0, "ad")
	wrong(is(flagCD) && !asked(flagCD), "cd")
	wrong(is(flagZ), "z")
	wrong(is(flagTC), "tc") // what is asked for here has room for an answer

	wrong((r.opt != nil) != (p.size > 0), "opt: %v", r.opt)
	wrong(version != 0, "version-not-zero")
	wrong(eflags&^flagDO != 0, "mbz: EDNS flags %04x", eflags)
	wrong(eflags&flagDO != p.eflags&flagDO, "nodo: EDNS flags %04x", eflags) // RFC 6891 section 6.1.4
	wrong(!p.tcp && len(packet) > max(512, int(p.size)), "toobig: %d bytes", len(packet))

	soa := slices.ContainsFunc(r.sections[0], func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })
	wrong(soa != (p.question() == dns.TypeSOA && want == dns.RcodeSuccess), "soa in the answer: %v", soa)
	return append(faults, p.judgeOptions(r.opt)...)
}

// judgeOptions tells what is wrong with the options of a reply: an option
// comes to who sent it, in the form that a server gives it.
func (p probe) judgeOptions(opt *dns.OPT) []string {
	if opt == nil {
		return nil
	}
	var faults []string
	seen := map[uint16]bool{}
	for _, o := range opt.Option {
		code := o.Option()
		if seen[code] {
			faults = append(faults, fmt.Sprintf("option %d comes twice", code))
		}
		seen[code] = true
		good := false
		switch o := o.(type) {
		case *dns.EDNS0_NSID:
			good = strings.Contains(p.options, optNSID) && o.Nsid != ""
		case *dns.EDNS0_SUBNET:
			good = strings.Contains(p.options, optSubnet) && o.SourceScope == 0 // RFC 7871 section 7.2.1
		case *dns.EDNS0_EXPIRE:
			good = strings.Contains(p.options, optExpire)
		case *dns.EDNS0_COOKIE: // RFC 7873 section 4: in hexadecimal digits, the client's and 8 to 32 bytes of the server's
			good = strings.Contains(p.options, optCookie) && len(o.Cookie) >= 32 && len(o.Cookie) <= 80 && strings.HasPrefix(o.Cookie, "0102030405060708")
		case *dns.EDNS0_TCP_KEEPALIVE:
			good = strings.Contains(p.options, optKeepalive) && p.tcp // RFC 7828 section 3.2.1: never by UDP
		case *dns.EDNS0_PADDING:
			good = strings.Contains(p.options, optPadding)
		}
		if !good {
			faults = append(faults, fmt.Sprintf("option %d: %s", code, o))
		}
	}
	return faults
}
