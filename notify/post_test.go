package notify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/notify"
	"switchd/spec"
)

// office is a sender that keeps what it gets, with the time.
type office struct {
	mu    sync.Mutex
	began time.Time
	got   []string
	fails func(to notify.Address) error
}

func (o *office) Send(ctx context.Context, to notify.Address, m notify.Message) error {
	o.mu.Lock()
	fails := o.fails
	o.mu.Unlock()
	if fails != nil {
		if err := fails(to); err != nil {
			if errors.Is(err, errHang) {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got = append(o.got, fmt.Sprintf("%s %s: %s", time.Since(o.began).Round(time.Second), to.Kind(), m.Title))
	return nil
}

var errHang = errors.New("hang")

func (o *office) all() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.got, "\n")
}

// outcomes counts what became of notices.
type outcomes struct {
	mu    sync.Mutex
	count map[notify.Outcome]int
}

func (o *outcomes) done(of notify.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count == nil {
		o.count = make(map[notify.Outcome]int)
	}
	o.count[of]++
}

func (o *outcomes) of(outcome notify.Outcome) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count[outcome]
}

func notice(event, service, to string) notify.Notice {
	return notify.Notice{
		Key: notify.Key{Rollout: service + "-1", Event: event, Since: noon, To: to}, Environment: "prod", Service: service,
		Subject: "[prod] " + service + " " + event, Body: "Why: a test",
	}
}

// desk opens a post with an office for some addresses.
func desk(t *testing.T, o *office, log io.Writer, lines ...string) (*prometheus.Registry, *notify.Desk) {
	t.Helper()
	o.began = time.Now()
	registry := prometheus.NewRegistry()
	p := &notify.Post{File: open(t, write(t, lines...), log), Sender: o, Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: notify.NewMetrics(registry)}
	return registry, p.Open(t.Context())
}

func take(t *testing.T, d *notify.Desk, n notify.Notice, o *outcomes) {
	t.Helper()
	if err := d.Take(n, o.done); err != nil {
		t.Error(err)
	}
}

func TestDesk_MakesAListOfAStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var o office
		var ended outcomes
		_, d := desk(t, &o, io.Discard, "web = slack://x", "web = smtp://y")
		for i := range 1000 {
			take(t, d, notice(spec.EventFailed, fmt.Sprintf("s%03d", i), "web"), &ended)
			if i < 3 {
				synctest.Wait() // the first ones go one by one
			}
		}
		time.Sleep(time.Minute)
		d.Close()
		for _, kind := range []string{"slack", "smtp"} {
			want := fmt.Sprintf("0s %s: [prod] s000 failed\n0s %[1]s: [prod] s001 failed\n0s %[1]s: [prod] s002 failed\n10s %[1]s: [prod] 997 notices: 997 failed", kind)
			var got []string
			for line := range strings.SplitSeq(o.all(), "\n") {
				if strings.Contains(line, kind) {
					got = append(got, line)
				}
			}
			if strings.Join(got, "\n") != want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
			}
		}
		if n := ended.of(notify.Delivered); n != 1000 {
			t.Errorf("%d of 1000 are delivered", n)
		}
	})
}

func TestDesk_TriesAgainAndHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		o := office{fails: func(to notify.Address) error {
			switch {
			case to.Kind() == "pagerduty":
				return errHang
			case to.Kind() == "slack":
				if tries++; tries < 4 {
					return errors.New("503")
				}
			}
			return nil
		}}
		var ended, hung outcomes
		_, d := desk(t, &o, io.Discard, "web = slack://x", "api = smtp://y", "db = pagerduty://z")
		take(t, d, notice(spec.EventHalted, "db", "db"), &hung)
		take(t, d, notice(spec.EventHalted, "web", "web"), &ended)
		take(t, d, notice(spec.EventHalted, "api", "api"), &ended)
		time.Sleep(2 * time.Minute)
		// 0 s, 2 s, 6 s and then what the limit allows: the fourth message after 10 s.
		if got, want := o.all(), "0s smtp: [prod] api halted\n14s slack: [prod] web halted"; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if ended.of(notify.Delivered) != 2 || hung.count != nil {
			t.Errorf("got %v and %v", ended.count, hung.count)
		}
		d.Close()
		if hung.of(notify.Returned) != 1 {
			t.Errorf("what hangs at the end: %v", hung.count)
		}
	})
}

func TestDesk_GivesUpAfterAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := office{fails: func(notify.Address) error { return errors.New("401") }}
		var ended outcomes
		var log bytes.Buffer
		registry, d := desk(t, &o, &log, "web = slack://x")
		take(t, d, notice(spec.EventHalted, "web", "web"), &ended)
		time.Sleep(50 * time.Minute)
		take(t, d, notice(spec.EventDone, "web", "web"), &ended)
		time.Sleep(20 * time.Minute)
		if n := ended.of(notify.Missed); n != 1 || len(ended.count) != 1 {
			t.Errorf("after an hour and ten minutes: %v", ended.count)
		}
		// A mended line of the file counts at once: what waits is told there.
		o.mu.Lock()
		o.fails = nil
		o.mu.Unlock()
		time.Sleep(6 * time.Minute)
		d.Close()
		if n := ended.of(notify.Delivered); n != 1 {
			t.Errorf("the later one: %v", ended.count)
		}
		if strings.Count(log.String(), "notices were given up") != 1 || strings.Count(log.String(), "could not be sent") > 20 {
			t.Errorf("the log:\n%s", log.String())
		}
		for label, want := range map[string]float64{"missed": 1, "delivered": 1, "sent": 1} {
			name := "switchd_notify_notices_total"
			if label == "sent" {
				name = "switchd_notify_messages_total"
			}
			if got := metric(t, registry, name, label); got != want {
				t.Errorf("%s %s is %v", name, label, got)
			}
		}
		if got := metric(t, registry, "switchd_notify_queued_notices", "web"); got != 0 {
			t.Errorf("%v are queued", got)
		}
	})
}

// metric is the value of a metric with a label's value.
func metric(t *testing.T, registry *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetValue() == label {
					return m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return -1
}

func TestDesk_ReturnsWhatHasNoAddressAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := office{fails: func(to notify.Address) error {
			if strings.HasSuffix(to.Place(), ":1") {
				return errors.New("404")
			}
			return nil
		}}
		o.began = time.Now()
		path := write(t, "web = slack://wrong")
		p := &notify.Post{File: open(t, path, io.Discard), Sender: &o, Log: slog.New(slog.DiscardHandler)}
		d := p.Open(t.Context())
		var ended outcomes
		take(t, d, notice(spec.EventHalted, "web", "web"), &ended)
		time.Sleep(time.Second)
		rewrite(t, path, "# mended", "web = slack://right")
		time.Sleep(time.Minute)
		if ended.of(notify.Returned) != 1 {
			t.Fatalf("got %v", ended.count)
		}
		take(t, d, notice(spec.EventHalted, "web", "web"), &ended)
		time.Sleep(time.Second)
		if ended.of(notify.Delivered) != 1 {
			t.Errorf("got %v", ended.count)
		}
		if err := d.Take(notice(spec.EventHalted, "web", "nobody"), ended.done); !errors.Is(err, notify.ErrUnknownName) {
			t.Errorf("an unknown name: %v", err)
		}
		d.Close()
	})
}

func TestDesk_TakesNoMoreThanItCanHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := office{fails: func(notify.Address) error { return errHang }}
		var ended outcomes
		_, d := desk(t, &o, io.Discard, "web = slack://x")
		taken := 0
		for i := range 3000 {
			err := d.Take(notice(spec.EventHalted, fmt.Sprint("s", i), "web"), ended.done)
			if err == nil {
				taken++
			} else if !errors.Is(err, notify.ErrFull) {
				t.Fatal(err)
			}
		}
		d.Close()
		if taken != 2000 || ended.of(notify.Returned) != taken {
			t.Errorf("%d were taken, %v", taken, ended.count)
		}
	})
}

func TestCompose_StaysWithinWhatServicesTake(t *testing.T) {
	t.Parallel()
	var all []notify.Notice
	for i := range 1000 {
		n := notice(spec.Events()[i%len(spec.Events())], strings.Repeat("ü", 90), "web")
		n.Body = strings.Repeat("x", 3000)
		all = append(all, n)
		if m := notify.Compose(all); len(m.Text) > 4000 || len(m.Title) > 250 {
			t.Fatalf("%d notices: %d bytes, title of %d", i+1, len(m.Text), len(m.Title))
		}
	}
	two := notify.Compose([]notify.Notice{notice(spec.EventHalted, "web", "x"), notice(spec.EventDone, "api", "x")})
	if want := "[prod] web halted\nWhy: a test\n\n[prod] api done\nWhy: a test"; two.Text != want || two.Title != "[prod] 2 notices: 1 halted, 1 done" {
		t.Errorf("got %q %q", two.Title, two.Text)
	}
}
