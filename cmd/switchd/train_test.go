package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"switchd/artifact"
	"switchd/consul"
	"switchd/driver"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestPromote_FollowsTheCarsOfATrain has the real driver start the cars, and the
// rollout records written as the engine would.
func TestPromote_FollowsTheCarsOfATrain(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	failing := boarded(t, server, "failing")
	failing.write("cart", step{rollout.Smoke, "smoke began", ""})
	failing.await("cart", "smoke began")
	failing.write("cart", step{rollout.Failed, "smoke failed", ""})
	failing.await("web", "stopped", "cart 2.0.0 failed")
	failing.write("mail", step{rollout.Done, "2.0.0 is live on blue", ""})
	failing.ends(t, statusFailed, `train-ID: 3 releases, 2 at a time
  cart 2.0.0
  web 2.0.0, after cart
  mail 2.0.0
cart TIME  queued      promoted by ACCOUNT (train-ID): 2.0.0 to blue; live is nothing
cart TIME  smoke       smoke began
cart TIME  failed      smoke failed
mail TIME  queued      promoted by ACCOUNT (train-ID): 2.0.0 to blue; live is nothing
mail TIME  done        2.0.0 is live on blue
web  TIME  waits       for cart 2.0.0
web  TIME  stopped     cart 2.0.0 failed
`, `switchd: train-ID:
  cart 2.0.0 failed: smoke failed
  web 2.0.0 was not started: cart 2.0.0 failed
`)
	halted := boarded(t, server, "halted")
	halted.await("mail", "queued")
	halted.write("mail", step{rollout.RolledBack, "somebody wants it back", ""})
	halted.await("mail", "rolledback")
	halted.write("cart", step{rollout.Halted, "halted by alertmanager: HighErrorRate fires", ""})
	halted.ends(t, statusRolledBack, "", `switchd: train-ID:
  cart 2.0.0 is halted in queued, by alertmanager: HighErrorRate fires; go on with `+"`switchd resume cart`, or end it with `switchd rollback cart`"+`
  web 2.0.0 waits for cart 2.0.0 (halted)
  mail 2.0.0 was rolled back: somebody wants it back
`)
	interrupted := boarded(t, server, "interrupted")
	interrupted.await("cart", "queued")
	interrupted.interrupt()
	interrupted.ends(t, statusInterrupted, "", "switchd: interrupted; train train-ID goes on without this command, `switchd status --watch` follows it\n")
}

// boarding is a `switchd promote` that follows a train.
type boarding struct {
	*promotion

	stop func()
}

// boarded has an environment in which web needs cart and mail nobody, and
// promotes all three.
func boarded(t *testing.T, server *devconsul.Lone, env string) *boarding {
	t.Helper()
	l := &ledger.Ledger{Consul: server.Client(), Keys: consul.Keys{Env: env}}
	put(t, l.Consul, l.Keys.Environment(), spec.Environment{Name: env})
	for name, needs := range map[string][]string{"web": {"cart"}, "cart": nil, "mail": nil} {
		put(t, l.Consul, l.Keys.Spec(name), spec.Service{Name: name, DependsOn: needs})
		put(t, l.Consul, l.Keys.Release(name, "2.0.0"), artifact.Manifest{
			Service: name, Version: "2.0.0", Size: 1, Unpacked: 1, SHA256: strings.Repeat("0", 64),
			Format: artifact.FormatTarZstd, Created: time.Now(),
		})
	}
	lease, err := server.Client().Acquire(t.Context(), consul.LeaseOptions{Key: l.Keys.Lease(), Holder: "ns1", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		(&driver.World{Ledger: l, Fence: lease, Log: slog.New(slog.DiscardHandler)}).KeepTrains(ctx)
	})
	following, interrupt := context.WithCancel(t.Context())
	b := &boarding{
		&promotion{t: t, ledger: l, interrupt: interrupt, status: make(chan int, 1), stdout: newTranscript(), stderr: newTranscript()},
		sync.OnceFunc(func() {
			cancel()
			work.Wait()
			_ = lease.Release(context.WithoutCancel(t.Context())) // its TTL ends it otherwise
		}),
	}
	t.Cleanup(b.stop)
	t.Cleanup(interrupt)
	go func() {
		b.status <- run(following, []string{"promote", "web=2.0.0", "mail=2.0.0", "cart=2.0.0", "--parallel", "2", "--env", env, "--http-addr", server.Addr()}, b.stdout, b.stderr)
	}()
	b.await("releases, 2 at a time")
	return b
}

// write moves the rollout of a service on, when it has begun.
func (b *boarding) write(service string, s step) {
	b.t.Helper()
	b.await(service, "queued")
	one := *b.promotion
	one.service = service
	one.write(s)
}

// ends waits for the command's end and compares what it has printed, service by
// service.
func (b *boarding) ends(t *testing.T, status int, stdout, stderr string) {
	t.Helper()
	defer b.stop()
	if got := <-b.status; got != status {
		t.Errorf("status %d, want %d", got, status)
	}
	mask := func(text string) string {
		text = regexp.MustCompile(` +\d+\.\ds`).ReplaceAllString(text, " TIME")
		text = regexp.MustCompile(`train-\d{8}T\d{6}-[0-9a-f]{8}`).ReplaceAllString(text, "train-ID")
		return strings.ReplaceAll(text, account(), "ACCOUNT")
	}
	lines := slices.Collect(strings.Lines(mask(b.stdout.String())))
	if len(lines) > 4 {
		slices.SortStableFunc(lines[4:], func(a, b string) int { return cmp.Compare(strings.Fields(a)[0], strings.Fields(b)[0]) })
	}
	if got := fixWidth(strings.Join(lines, "")); stdout != "" && got != stdout {
		t.Errorf("standard output:\n%s\nwant\n%s", got, stdout)
	}
	if got := mask(b.stderr.String()); got != stderr {
		t.Errorf("standard error:\n%s\nwant\n%s", got, stderr)
	}
}

// fixWidth gives services back the spaces that a masked time has taken.
func fixWidth(text string) string {
	return regexp.MustCompile(`(?m)^(\S+) TIME`).ReplaceAllStringFunc(text, func(line string) string {
		return fmt.Sprintf("%-4s TIME", strings.TrimSuffix(line, " TIME"))
	})
}
