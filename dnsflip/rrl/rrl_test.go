package rrl_test

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/dnsflip/rrl"
)

const (
	second = int64(time.Second)
	start  = 1_800_000_000 * second
)

var kinds = []rrl.Kind{rrl.Answer, rrl.Referral, rrl.NoData, rrl.NXDomain, rrl.Error}

// limiter returns one with the default settings, but for what change does.
func limiter(tb testing.TB, change func(*rrl.Config)) *rrl.Limiter {
	tb.Helper()
	c := rrl.Default()
	if change != nil {
		change(&c)
	}
	l, err := rrl.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// flood counts the verdicts of n replies, sent evenly in so much time.
func flood(l *rrl.Limiter, client netip.Addr, kind rrl.Kind, hash uint32, from int64, n int, d time.Duration) map[rrl.Verdict]int {
	counts := make(map[rrl.Verdict]int)
	for i := range n {
		counts[l.Allow(client, kind, hash, from+int64(d)*int64(i)/int64(n))]++
	}
	return counts
}

func TestLimiter_LetsTheRateThrough(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{1, 3, 7, 200, 999} {
		l := limiter(t, func(c *rrl.Config) { c.Rate = rate })
		client := netip.MustParseAddr("192.0.2.1")
		// As the cost of a reply is rounded up, a little less than the rate.
		if got := flood(l, client, rrl.Answer, 1, start, 60*rate, 61*time.Second); got[rrl.Send] != 60*rate {
			t.Errorf("at a rate of %d: %v", rate, got)
		}
	}
}

func TestLimiter_KeepsToHighRates(t *testing.T) {
	t.Parallel()
	l := limiter(t, func(c *rrl.Config) { c.Rate = 60_000 })
	// Slightly more than the rate, and than what is left of it by a whole
	// number of microseconds for each.
	got := flood(l, netip.MustParseAddr("192.0.2.1"), rrl.Answer, 1, start, 40*62_400, 40*time.Second)
	if n := got[rrl.Send]; n > 41*60_000 {
		t.Errorf("%d sent in 40 s", n)
	}
}

func TestLimiter_SilencesAFloodUntilItsWindowIsOver(t *testing.T) {
	t.Parallel()
	l := limiter(t, func(c *rrl.Config) { c.Rate, c.Window = 10, 5*time.Second })
	client := netip.MustParseAddr("192.0.2.1")
	// The burst, and what comes free until the first are refused; then nothing.
	if got := flood(l, client, rrl.Answer, 1, start, 2000, 20*time.Second); got[rrl.Send] != 11 {
		t.Errorf("in a flood: %v", got)
	}
	end := start + 20*second
	if got := l.Allow(client, rrl.Answer, 1, end+4*second); got == rrl.Send {
		t.Error("sent within the window")
	}
	if got := l.Allow(client, rrl.Answer, 1, end+6*second); got != rrl.Send {
		t.Errorf("after the window: %s", got)
	}
}

// TestLimiter_RemembersAFloodWhoeverAsks has one loop ask with the time of a
// moment before another one's.
func TestLimiter_RemembersAFloodWhoeverAsks(t *testing.T) {
	t.Parallel()
	l := limiter(t, nil)
	client := netip.MustParseAddr("192.0.2.1")
	flood(l, client, rrl.Answer, 1, start, 10_000, 0)
	for _, behind := range []time.Duration{time.Microsecond, time.Millisecond, time.Second} {
		if got := l.Allow(client, rrl.Answer, 1, start-int64(behind)); got == rrl.Send {
			t.Errorf("sent to who is %s behind", behind)
		}
	}
}

func TestLimiter_SlipsEveryNth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ slip, slipped int }{{0, 0}, {1, 90}, {2, 45}, {3, 30}, {10, 9}} {
		l := limiter(t, func(c *rrl.Config) { c.Rate, c.Slip = 10, tt.slip })
		got := flood(l, netip.MustParseAddr("192.0.2.1"), rrl.Answer, 1, start, 100, 0)
		if got[rrl.Send] != 10 || got[rrl.Slip] != tt.slipped || got[rrl.Drop] != 90-tt.slipped {
			t.Errorf("slip %d: %v", tt.slip, got)
		}
	}
}

// TestLimiter_TellsApart exhausts one bucket and looks at another one.
func TestLimiter_TellsApart(t *testing.T) {
	t.Parallel()
	type ask struct {
		client string
		kind   rrl.Kind
		hash   uint32
	}
	for _, tt := range []struct {
		name     string
		one, two ask
		same     bool
	}{
		{"the same", ask{"192.0.2.1", rrl.Answer, 1}, ask{"192.0.2.1", rrl.Answer, 1}, true},
		{"the same /24", ask{"192.0.2.1", rrl.Answer, 1}, ask{"192.0.2.254", rrl.Answer, 1}, true},
		{"another /24", ask{"192.0.2.1", rrl.Answer, 1}, ask{"192.0.3.1", rrl.Answer, 1}, false},
		{"the same /56", ask{"2001:db8:0:1200::1", rrl.Answer, 1}, ask{"2001:db8:0:12ff::2", rrl.Answer, 1}, true},
		{"another /56", ask{"2001:db8:0:1200::1", rrl.Answer, 1}, ask{"2001:db8:0:1300::1", rrl.Answer, 1}, false},
		{"mapped", ask{"192.0.2.1", rrl.Answer, 1}, ask{"::ffff:192.0.2.1", rrl.Answer, 1}, true},
		{"an IPv6 prefix of the same bytes", ask{"192.0.2.1", rrl.Answer, 1}, ask{"c000:200::", rrl.Answer, 1}, false},
		{"another name", ask{"192.0.2.1", rrl.Answer, 1}, ask{"192.0.2.1", rrl.Answer, 2}, false},
		{"another name that doesn't exist", ask{"192.0.2.1", rrl.NXDomain, 1}, ask{"192.0.2.1", rrl.NXDomain, 2}, true},
		{"another kind", ask{"192.0.2.1", rrl.Error, 0}, ask{"192.0.2.1", rrl.Referral, 0}, false},
	} {
		l := limiter(t, func(c *rrl.Config) { c.Buckets = 8 })
		flood(l, netip.MustParseAddr(tt.one.client), tt.one.kind, tt.one.hash, start, 1000, 0)
		got := l.Allow(netip.MustParseAddr(tt.two.client), tt.two.kind, tt.two.hash, start)
		if (got != rrl.Send) != tt.same {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}

func TestLimiter_ExemptsLoopbackAndWhoIsConfigured(t *testing.T) {
	t.Parallel()
	l := limiter(t, func(c *rrl.Config) {
		c.Exempt = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	})
	for client, exempt := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"198.51.100.7": true, "::ffff:198.51.100.7": true, "2001:db8::7": true,
		"198.51.101.7": false, "2001:db9::7": false,
	} {
		got := flood(l, netip.MustParseAddr(client), rrl.Answer, 1, start, 10_000, time.Second)
		if (got[rrl.Send] == 10_000) != exempt {
			t.Errorf("%s: %v", client, got)
		}
	}
}

// TestLimiter_NeverExceedsTheRate counts what is sent in any stretch of time.
func TestLimiter_NeverExceedsTheRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := rrl.Default()
		c.Rate = rapid.IntRange(1, 50).Draw(t, "rate")
		c.Window = time.Duration(rapid.IntRange(1, 20).Draw(t, "window")) * time.Second
		c.Slip = rapid.IntRange(0, 3).Draw(t, "slip")
		l, err := rrl.New(c)
		if err != nil {
			t.Fatal(err)
		}
		client := netip.MustParseAddr("192.0.2.1")
		gaps := rapid.SliceOfN(rapid.OneOf(
			rapid.Int64Range(0, second/100), rapid.Int64Range(0, 2*second/int64(c.Rate)), rapid.Int64Range(0, 30*second)), 1, 400).Draw(t, "gaps")
		var sent []int64
		now := start
		for _, gap := range gaps {
			now += gap
			if l.Allow(client, rrl.Answer, 1, now) == rrl.Send {
				sent = append(sent, now)
			}
		}
		for i, from := range sent {
			for j := i; j < len(sent); j++ {
				most := c.Rate + int(math.Ceil(float64(sent[j]-from+int64(time.Microsecond))*float64(c.Rate)/float64(second)))
				if n := j - i + 1; n > most {
					t.Fatalf("%d sent in %s, at a rate of %d", n, time.Duration(sent[j]-from), c.Rate)
				}
			}
		}
	})
}

// TestLimiter_NeverHurtsTheInnocent has a client that keeps below the
// rate never be limited, whatever others do.
func TestLimiter_NeverHurtsTheInnocent(t *testing.T) {
	t.Parallel()
	l := limiter(t, func(c *rrl.Config) { c.Rate = 20 })
	innocent := netip.MustParseAddr("203.0.113.5")
	// A thousand prefixes flood with a hundred names, at 100,000 queries a second.
	for i := range int64(1_000_000) {
		now := start + i*second/100_000
		var addr [4]byte
		binary.BigEndian.PutUint32(addr[:], 10<<24|uint32(i%1000)<<8|1)
		l.Allow(netip.AddrFrom4(addr), rrl.Answer, uint32(i%100), now)
		if i%10_000 == 0 {
			if got := l.Allow(innocent, rrl.Answer, 1, now); got != rrl.Send {
				t.Fatalf("after %d queries of others: %s", i, got)
			}
		}
	}
}

// TestLimiter_RemembersAFloodAmongManyOthers fills the table many times over by
// prefixes that ask once, while one floods.
func TestLimiter_RemembersAFloodAmongManyOthers(t *testing.T) {
	t.Parallel()
	l := limiter(t, func(c *rrl.Config) { c.Rate, c.Buckets = 10, 1024 })
	victim := netip.MustParseAddr("203.0.113.5")
	sent := 0
	for i := range int64(200_000) {
		now := start + i*second/20_000
		var addr [4]byte
		binary.BigEndian.PutUint32(addr[:], 10<<24|uint32(i)<<8)
		l.Allow(netip.AddrFrom4(addr), rrl.Answer, 1, now)
		if i%20 == 0 && l.Allow(victim, rrl.Answer, 1, now) == rrl.Send {
			sent++
		}
	}
	if sent > 12 {
		t.Errorf("%d of 10,000 sent to the victim", sent)
	}
}

func TestLimiter_OutlivesClockSteps(t *testing.T) {
	t.Parallel()
	client := netip.MustParseAddr("192.0.2.1")
	for _, step := range []time.Duration{-1000 * time.Hour, -time.Hour, -time.Minute, time.Hour, 1000 * time.Hour} {
		l := limiter(t, nil)
		flood(l, client, rrl.Answer, 1, start, 10_000, time.Second)
		now := start + second + int64(step)
		if got := l.Allow(client, rrl.Answer, 1, now); got != rrl.Send {
			t.Errorf("after a step of %s: %s", step, got)
		}
		if got := flood(l, client, rrl.Answer, 1, now, 10_000, time.Second); got[rrl.Send] > 400 {
			t.Errorf("no limit after a step of %s: %v", step, got)
		}
	}
	// Wherever the clock was set from, who asks seldom is answered before long.
	rapid.Check(t, func(rt *rapid.T) {
		l := limiter(t, nil)
		before, after := rapid.Int64().Draw(rt, "before"), rapid.Int64Range(math.MinInt64, math.MaxInt64-20*second).Draw(rt, "after")
		flood(l, client, rrl.Error, 0, before, 1000, 0)
		l.Allow(client, rrl.Error, 0, after)
		if got := l.Allow(client, rrl.Error, 0, after+int64(rrl.DefaultWindow)+second); got != rrl.Send {
			rt.Fatalf("%s from %d to %d", got, before, after)
		}
	})
}

func TestLimiter_IsSharedByGoroutines(t *testing.T) {
	t.Parallel()
	l := limiter(t, func(c *rrl.Config) { c.Rate, c.Buckets = 100_000, 8 })
	client := netip.MustParseAddr("192.0.2.1")
	var sent [4]int
	var wg sync.WaitGroup
	for i := range sent {
		wg.Go(func() { sent[i] = flood(l, client, rrl.Answer, 1, start, 50_000, 0)[rrl.Send] })
	}
	wg.Wait()
	if n := sent[0] + sent[1] + sent[2] + sent[3]; n != 100_000 {
		t.Errorf("%d sent, want 100,000", n)
	}
}

func TestLimiter_AllocatesNothing(t *testing.T) {
	l := limiter(t, func(c *rrl.Config) { c.Exempt = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} })
	for _, client := range []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), {}} {
		for _, kind := range kinds {
			if n := testing.AllocsPerRun(100, func() { l.Allow(client, kind, 1, start) }); n != 0 {
				t.Errorf("%s, %s: %v allocations", client, kind, n)
			}
		}
	}
}

func TestNew_TellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := rrl.New(rrl.Config{Rate: -1, Window: 2 * time.Hour, Slip: 11, Prefix4: 33, Prefix6: 65, Exempt: make([]netip.Prefix, 1)})
	want := `response rate limit: rate must be 1 to 100000, got -1
slip must be 0 to 10, got 11
IPv4 prefix length must be 1 to 32, got 33
IPv6 prefix length must be 1 to 64, got 65
buckets must be 1 to 16777216, got 0
window must be 1s to 1h0m0s, got 2h0m0s
exempt prefix isn't valid`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, strings.ReplaceAll(want, "\n", "\n     "))
	}
}

// Without a flood; by the addresses of a flood; of one only.
func BenchmarkLimiter_Allow(b *testing.B) {
	for name, spread := range map[string]uint32{"one prefix": 1, "1,000 prefixes": 1000, "1,000,000 prefixes": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			l := limiter(b, nil)
			b.ReportAllocs()
			var i uint32
			for b.Loop() {
				i++
				var addr [4]byte
				binary.BigEndian.PutUint32(addr[:], 10<<24|(i%spread)<<8)
				l.Allow(netip.AddrFrom4(addr), rrl.Answer, 1, start+int64(i)*5000)
			}
		})
	}
}

func BenchmarkLimiter_AllowShared(b *testing.B) {
	l := limiter(b, nil)
	client := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for now := start; pb.Next(); now += 5000 {
			l.Allow(client, rrl.Answer, 1, now)
		}
	})
}
