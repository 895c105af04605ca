//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/spec"
)

func TestQuestions_OneOfTenDoesNotExist(t *testing.T) {
	t.Parallel()
	all := questions(random, 10_000)
	missing := 0
	names := map[string]bool{}
	for _, q := range all {
		names[q.name] = true
		if q.rcode != 0 {
			missing++
		}
	}
	if len(names) != len(all) || len(all)-missing != 10_000 || missing*10 < len(all)-10 || missing*10 > len(all)+10 {
		t.Errorf("%d names, %d of them missing", len(all), missing)
	}
	if !slices.EqualFunc(all, questions(random, 10_000), func(a, b question) bool { return a.name == b.name }) {
		t.Error("another run would ask in another order")
	}
}

const perfOutput = `Statistics:

  Queries sent:         1600123
  Queries completed:    1600120 (100.00%)
  Queries lost:         3 (0.00%)

  Response codes:       NOERROR 1440108 (90.00%), NXDOMAIN 160010 (10.00%), SERVFAIL 2 (0.00%)
  Average packet size:  request 45, response 89
  Run time (s):         3.000100
  Queries per second:   533355.554814
`

func TestParsePerf_ReadsTheStatistics(t *testing.T) {
	t.Parallel()
	got, err := parsePerf(perfOutput)
	if want := (perf{qps: 533355.554814, done: 1600120, lost: 3, nxdomain: 160010, other: 2}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, cut := range []string{"Queries per second", "Queries lost", "Response codes"} {
		if _, err := parsePerf(strings.ReplaceAll(perfOutput, cut, "x")); err == nil {
			t.Errorf("without %q: no error", cut)
		}
	}
}

func TestReport_ComparesWithinEachRound(t *testing.T) {
	t.Parallel()
	r := newReport([]string{switchd, "NSD"})
	for _, round := range [][2]float64{{200_000, 100_000}, {20_000, 10_000}, {300_000, 100_000}} { // the machine was busy in one
		r.add(switchd, chain+".qps", round[0])
		r.add("NSD", chain+".qps", round[1])
	}
	r.add(switchd, "allocs", 0)
	r.add(switchd, "allocs", 2)
	r.add("NSD", chain+".lost", 7)
	var out strings.Builder
	r.print(&out)
	for _, want := range []string{
		"| switchd | 200.0 (20.0–300.0) | – |", "| NSD | 100.0 (10.0–100.0) | – |", "!!! NSD lost 7 answers (chain)",
		"figure: dns.chain.qps_vs_nsd 2.000\n", "figure: dns.allocs_per_query 2.000\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestFlipWatch_TellsOldAnswersFromFlips(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	w := newFlipWatch()
	blue, green := spec.Blue, spec.Green
	packets := map[string][]byte{blue: answerPacket(t, chained(blue)), green: answerPacket(t, chained(green))}
	take := func(pool string, sent, now int) {
		t.Helper()
		if err := w.answer(packets[pool], begin.Add(time.Duration(sent)), begin.Add(time.Duration(now))); err != nil {
			t.Fatal(err)
		}
	}
	take(green, 0, 1)
	w.target.Store(&blue)
	take(green, 2, 3)
	take(blue, 2, 4)
	take(green, 3, 5) // was asked before the flip was seen
	take(green, 6, 7) // was asked after it
	take(blue, 6, 8)
	if got := <-w.seen; got.pool != blue || !got.at.Equal(begin.Add(4)) || w.stale != 1 {
		t.Errorf("saw %+v, %d old answers, want one", got, w.stale)
	}
	w.target.Store(&green)
	take(green, 9, 10)
	if got := <-w.seen; got.pool != green || w.stale != 1 {
		t.Errorf("saw %+v, %d old answers", got, w.stale)
	}
	if err := w.answer(answerPacket(t, host(1)), begin, begin); err == nil {
		t.Error("a wrong answer: no error")
	}
}

// answerPacket writes the right answer to a question.
func answerPacket(t *testing.T, q question) []byte {
	t.Helper()
	m := new(dns.Msg)
	owner := q.name + "." + origin + "."
	m.SetQuestion(owner, dns.TypeA)
	m.Response, m.Authoritative, m.RecursionDesired = true, true, false
	for _, text := range q.chain {
		rr := a(t, fmt.Sprintf("%s %d IN %s", owner, ttl, text))
		m.Answer = append(m.Answer, rr)
		if alias, ok := rr.(*dns.CNAME); ok {
			owner = alias.Target
		}
	}
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packet
}
