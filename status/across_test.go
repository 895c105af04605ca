package status_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"switchd/consul"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/spec"
	"switchd/status"
)

func TestAcrossText_ShowsEachServiceInEachEnvironment(t *testing.T) {
	t.Parallel()
	now := at("05:12:00")
	across := status.Across{At: now, Environments: []status.Place{
		{Name: "staging", Services: []status.Standing{
			{Name: "cart", Version: "2.1.0", Rollout: &status.Underway{Version: "2.2.0", Phase: rollout.Canary, Since: now.Add(-2 * time.Minute)}},
			{Name: "web", Version: "2.0.0"},
		}},
		{Name: "prod", After: "staging", Contact: &rollout.Contact{Upstream: "staging", At: now, Error: "connection refused", Since: now.Add(-time.Hour)}, Services: []status.Standing{
			{Name: "cart", Version: "2.0.0", Next: &status.Next{Version: "2.1.0", From: now.Add(20 * time.Minute), Waits: "done in staging for 40m of 1h, eligible at 05:32"}},
			{Name: "shop", Error: "the live record is broken"},
			{Name: "web", Version: "1.9.0", Next: &status.Next{Version: "2.0.0", Eligible: true, From: now.Add(-time.Hour)}},
		}},
		{Name: "dr", After: "prod", Error: "connection refused"},
	}}
	var text strings.Builder
	if err := status.AcrossText(&text, across, now, status.Options{}); err != nil {
		t.Fatal(err)
	}
	want := `SERVICE  staging                       prod                                  dr
cart     2.1.0, 2.2.0 canary since 2m  2.0.0, 2.1.0 eligible at 05:32:00     ?
shop     -                             the live record is broken             ?
web      2.0.0                         1.9.0, 2.0.0 eligible since 04:12:00  ?
cart in prod: 2.1.0 done in staging for 40m of 1h, eligible at 05:32
prod can't read staging since 04:12:00: connection refused
dr can't be read: connection refused
`
	if got := text.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestReadAcross_IsHeldUpByNobody has one environment refuse, and one take the
// question and never answer.
func TestReadAcross_IsHeldUpByNobody(t *testing.T) {
	t.Parallel()
	var listen net.ListenConfig
	silent, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	client, _, err := consul.NewClientElsewhere(consul.Elsewhere{Address: silent.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	across := status.ReadAcross(ctx, []status.Elsewhere{
		{Name: "staging", Ledger: &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: "staging"}}},
		{Name: "prod", After: "staging", Err: errors.New("others can read its token")},
	})
	if len(across.Environments) != 2 {
		t.Fatalf("got %+v", across)
	}
	for i, want := range []string{"can't be reached", "others can read its token"} {
		if got := across.Environments[i]; !strings.Contains(got.Error, want) || len(got.Services) > 0 {
			t.Errorf("got %+v, want %q", got, want)
		}
	}
}

func TestText_SaysWhatComesFromTheEnvironmentBefore(t *testing.T) {
	t.Parallel()
	now := at("05:12:00")
	s := ended()
	s.Eligible = &rollout.Eligibility{
		Upstream: "staging", Service: "web", Version: "9.0.0", Done: now.Add(-20 * time.Minute), Seen: now, Release: "digest", For: spec.Duration(time.Hour),
		Contact: rollout.Contact{Upstream: "staging", At: now, Error: "connection refused", Since: now.Add(-time.Minute)},
	}
	doc := status.Document{Environment: "prod", Services: []status.Service{status.Of(s)}}
	var text, detail strings.Builder
	if err := errors.Join(status.Text(&text, doc, now, status.Options{}), status.Detail(&detail, doc, now, status.Options{})); err != nil {
		t.Fatal(err)
	}
	const next = "9.0.0 is not eligible: done in staging for 20m of 1h, eligible at 05:52"
	if !strings.Contains(text.String(), "shop: "+next) || !strings.Contains(text.String(), "\nstaging can't be read since 05:11:00: connection refused\n") {
		t.Errorf("the overview is\n%s", text.String())
	}
	if !strings.Contains(detail.String(), next) || !strings.Contains(detail.String(), "\nnext ") {
		t.Errorf("the details are\n%s", detail.String())
	}
}
