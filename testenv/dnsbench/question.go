//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// origin is the zone that all servers serve.
const origin = "apps.test"

// question is asked for an address, and has one right answer.
type question struct {
	name  string // within the zone
	rcode int
	chain []string // the answer's records but for the first owner, such as "CNAME web-green"
}

// The chain is that of a flip name; the pools have one node each.
const (
	flipName = "web"
	ttl      = 60
)

func poolName(pool string) string { return flipName + "-" + pool }

// poolAddr is the address of a pool's node.
func poolAddr(pool string) string {
	if pool == "blue" {
		return "192.0.2.1"
	}
	return "192.0.2.11"
}

// chained is the flip name while a pool is live.
func chained(pool string) question {
	return question{name: flipName, chain: []string{"CNAME " + poolName(pool) + "." + origin + ".", "A " + poolAddr(pool)}}
}

// host is one of many names, which has one address.
func host(i int) question {
	return question{name: fmt.Sprintf("host%07d", i), chain: []string{fmt.Sprintf("A 10.%d.%d.%d", i>>16&0xff, i>>8&0xff, i&0xff)}}
}

// absent is a name that doesn't exist, among those that do.
func absent(i int) question {
	return question{name: fmt.Sprintf("host%07dx", i), rcode: dns.RcodeNameError}
}

// Sets of questions.
const (
	chain  = "chain"
	random = "random"
)

// questions returns a set; the random one has so many names in an order that
// is the same in each run, one of ten not existing.
func questions(set string, names int) []question {
	if set == chain {
		return []question{chained("green")}
	}
	var all []question
	for i := range names {
		all = append(all, host(i))
		if i%9 == 0 {
			all = append(all, absent(i))
		}
	}
	r := rand.New(rand.NewPCG(1, uint64(names)))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// writeZone writes the zone with so many hosts as a master file.
func writeZone(w io.Writer, hosts int) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "$ORIGIN %s.\n$TTL %d\n@\tSOA ns1 hostmaster 1 3600 600 1209600 5\n@\tNS ns1\nns1\tA 192.0.2.53\n", origin, ttl)
	fmt.Fprintf(b, "%s\tCNAME %s\n", flipName, poolName("green"))
	for _, pool := range []string{"blue", "green"} {
		fmt.Fprintf(b, "%s\tA %s\n", poolName(pool), poolAddr(pool))
	}
	for i := range hosts {
		h := host(i)
		fmt.Fprintf(b, "%s\t%s\n", h.name, h.chain[0])
	}
	return b.Flush()
}

// packet writes the question with the identifier 0 and, if asked for, an OPT
// record with the options.
func (q question) packet(edns bool, options ...dns.EDNS0) ([]byte, error) {
	m := new(dns.Msg)
	m.SetQuestion(q.name+"."+origin+".", dns.TypeA)
	m.Id, m.RecursionDesired = 0, false
	if edns {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = options
	}
	return m.Pack()
}

// check tells what is wrong with an answer.
func (q question) check(packet []byte) error {
	m := new(dns.Msg)
	if err := m.Unpack(packet); err != nil {
		return fmt.Errorf("answer to %s: %w", q.name, err)
	}
	owner := q.name + "." + origin + "."
	if len(m.Question) != 1 || m.Question[0].Name != owner || !m.Response || !m.Authoritative || m.Truncated || m.Rcode != q.rcode || len(m.Answer) != len(q.chain) {
		return fmt.Errorf("answer to %s: %v", q.name, m)
	}
	var got, want []string
	for i, rr := range m.Answer {
		got = append(got, strings.Join(strings.Fields(rr.String()), " "))
		want = append(want, fmt.Sprintf("%s %d IN %s", owner, ttl, q.chain[i]))
		if target, ok := strings.CutPrefix(q.chain[i], "CNAME "); ok {
			owner = target
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("answer to %s: got %v, want %v", q.name, got, want)
	}
	if soa := len(m.Ns) == 1 && m.Ns[0].Header().Rrtype == dns.TypeSOA; q.rcode == dns.RcodeNameError && !soa {
		return fmt.Errorf("answer to %s: no SOA in %v", q.name, m.Ns)
	}
	return nil
}
