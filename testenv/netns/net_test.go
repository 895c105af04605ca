//go:build linux

package netns_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/testenv/netns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns both ends of a connection between two hosts.
func connect(t *testing.T, from, to *netns.Host) (client, server net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	listener, err := to.Listen(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // It has served.
	port := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	if client, err = from.Dial(ctx, to.AddrPort(port)); err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return client, server
}

// pull receives from one host on another for a while and returns how much came
// at the receiver's card, in bits a second.
func pull(t *testing.T, from, to *netns.Host) float64 {
	t.Helper()
	receiver, sender := connect(t, to, from)
	go func() {
		block := make([]byte, 64<<10)
		for {
			if _, err := sender.Write(block); err != nil {
				return
			}
		}
	}()
	// Slow start and the full bucket are over after the first bytes.
	if _, err := io.CopyN(io.Discard, receiver, 512<<10); err != nil {
		t.Fatal(err)
	}
	before, began := traffic(t, to), time.Now()
	if _, err := io.CopyN(io.Discard, receiver, 2<<20); err != nil {
		t.Fatal(err)
	}
	after, took := traffic(t, to), time.Since(began)
	return float64(after.Received-before.Received) * 8 / took.Seconds()
}

func traffic(t *testing.T, h *netns.Host) netns.Traffic {
	t.Helper()
	traffic, err := h.Traffic()
	if err != nil {
		t.Fatal(err)
	}
	return traffic
}

func TestNet_EachHostReachesEachOther(t *testing.T) {
	t.Parallel()
	hosts := netns.ForTest(t, netns.Options{Hosts: 3}).Hosts()
	for _, from := range hosts {
		for _, to := range hosts {
			client, server := connect(t, from, to)
			if _, err := client.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(server, got); err != nil || string(got) != "hello" {
				t.Errorf("%s to %s: got %q (%v)", from.Addr(), to.Addr(), got, err)
			}
			if peer := server.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); peer != from.Addr() {
				t.Errorf("%s to %s: it comes from %s", from.Addr(), to.Addr(), peer)
			}
		}
	}
}

func TestNet_KeepsTheRateBothWays(t *testing.T) {
	t.Parallel()
	const rate = 20e6
	hosts := netns.ForTest(t, netns.Options{Hosts: 2, Rate: rate}).Hosts()
	for _, way := range [][2]*netns.Host{{hosts[0], hosts[1]}, {hosts[1], hosts[0]}} {
		got := pull(t, way[0], way[1])
		if math.Abs(got/rate-1) > 0.1 {
			t.Errorf("from %s to %s: got %.1f Mbit/s, want %.1f ± 10 %%", way[0].Addr(), way[1].Addr(), got/1e6, rate/1e6)
		}
	}
}

func TestNet_LimitsWhatManySendToOne(t *testing.T) {
	t.Parallel()
	const rate = 20e6
	hosts := netns.ForTest(t, netns.Options{Hosts: 3, Rate: rate}).Hosts()
	rates := make(chan float64)
	for _, from := range hosts[1:] {
		go func() { rates <- pull(t, from, hosts[0]) }()
	}
	for range hosts[1:] {
		if got := <-rates; got > 1.1*rate {
			t.Errorf("got %.1f Mbit/s, want at most %.1f", got/1e6, rate/1e6)
		}
	}
}

func TestHost_CountsFramesAsOnAWire(t *testing.T) {
	t.Parallel()
	hosts := netns.ForTest(t, netns.Options{Hosts: 2}).Hosts()
	client, server := connect(t, hosts[0], hosts[1])
	const size = 8 << 20
	go func() {
		_, _ = client.Write(make([]byte, size))
	}()
	if _, err := io.CopyN(io.Discard, server, size); err != nil {
		t.Fatal(err)
	}
	// 1448 bytes of each full frame of 1514 are payload, and a few frames are
	// not full, or are sent again on a busy machine.
	sent, received := traffic(t, hosts[0]).Sent, traffic(t, hosts[1]).Received
	for way, got := range map[string]uint64{"sent": sent, "received": received} {
		if ratio := float64(got) / size; ratio < 1514.0/1448 || ratio > 1.1*1514/1448 {
			t.Errorf("%s %d bytes for %d of payload: %.3f, want about %.3f", way, got, size, ratio, 1514.0/1448)
		}
	}
}

func TestHost_IsAloneWhenItIsCutUntilItIsHealed(t *testing.T) {
	t.Parallel()
	hosts := netns.ForTest(t, netns.Options{Hosts: 3}).Hosts()
	client, server := connect(t, hosts[0], hosts[1])
	if err := hosts[1].Cut(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("through")); err != nil {
		t.Fatal(err)
	}
	if err := server.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := server.Read(make([]byte, 7)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the cut host got %d bytes (%v)", n, err)
	}
	connect(t, hosts[0], hosts[2]) // The others don't notice.

	if err := hosts[1].Heal(); err != nil {
		t.Fatal(err)
	}
	if err := server.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 7)
	if _, err := io.ReadFull(server, got); err != nil || string(got) != "through" {
		t.Errorf("after it was healed: got %q (%v)", got, err)
	}
}

func TestHost_LosesWhatItSendsAndHearsTheRest(t *testing.T) {
	t.Parallel()
	n := netns.ForTest(t, netns.Options{Hosts: 3})
	from, to, other := n.Hosts()[0], n.Hosts()[1], n.Hosts()[2]
	there, here := connect(t, from, to)
	for range 2 { // twice is no error
		if err := from.Lose(to); err != nil {
			t.Fatal(err)
		}
	}
	arrives := func(sender, receiver net.Conn, within time.Duration) bool {
		t.Helper()
		if _, err := sender.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := receiver.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		_, err := receiver.Read(make([]byte, 1))
		return err == nil
	}
	if arrives(there, here, 300*time.Millisecond) {
		t.Error("what is to be lost has arrived")
	}
	if !arrives(here, there, 10*time.Second) {
		t.Error("what comes from the other one is lost too")
	}
	connect(t, from, other)
	if err := from.Find(to); err != nil {
		t.Fatal(err)
	}
	// TCP sends again what was lost.
	if !arrives(there, here, 10*time.Second) {
		t.Error("what is sent does not arrive any more")
	}
}

func TestHost_DialsOverUDPToo(t *testing.T) {
	t.Parallel()
	n := netns.ForTest(t, netns.Options{Hosts: 2})
	conn, err := n.Hosts()[0].DialContext(t.Context(), "udp", n.Hosts()[1].AddrPort(53).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // Nothing was sent.
	if local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr(); local != n.Hosts()[0].Addr() {
		t.Errorf("it comes from %s, want the host's %s", local, n.Hosts()[0].Addr())
	}
	if _, err := n.Hosts()[0].DialContext(t.Context(), "udp", "nowhere"); err == nil {
		t.Error("there is no such address")
	}
}

func TestHost_CommandRunsOnTheHost(t *testing.T) {
	t.Parallel()
	hosts := netns.ForTest(t, netns.Options{Hosts: 2}).Hosts()
	for _, h := range hosts {
		out, err := h.Command(t.Context(), "ip", "-4", "-brief", "address", "show", "eth0").CombinedOutput()
		if err != nil || !strings.Contains(string(out), h.Addr().String()+"/24") {
			t.Errorf("host %s: got %q (%v)", h.Addr(), out, err)
		}
	}
}

// held returns what holds a namespace: processes and threads, files and
// mounts (network_namespaces(7)).
func held(t *testing.T, namespace string) []string {
	t.Helper()
	var holders []string
	for _, pattern := range []string{"/proc/[0-9]*/ns/net", "/proc/self/task/*/ns/net", "/proc/self/fd/*"} {
		links, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links {
			if to, err := os.Readlink(link); err == nil && to == namespace {
				holders = append(holders, link)
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(mounts, []byte(namespace)) {
		holders = append(holders, "a mount")
	}
	return holders
}

// TestNet_CloseLeavesNothing is not parallel: another test's new namespace may
// get the number of one that has just gone.
func TestNet_CloseLeavesNothing(t *testing.T) {
	n, err := netns.New(t.Context(), netns.Options{Hosts: 3, Rate: 20e6})
	if err != nil {
		t.Fatal(err)
	}
	var namespaces []string
	for _, h := range n.Hosts() {
		out, err := h.Command(t.Context(), "readlink", "/proc/self/ns/net").Output()
		if err != nil {
			t.Fatal(err)
		}
		namespaces = append(namespaces, strings.TrimSpace(string(out)))
	}
	// It ignores SIGTERM, and so does its child.
	forgotten := n.Hosts()[1].Command(context.WithoutCancel(t.Context()), "sh", "-c", `trap "" TERM; echo up; sleep 1000`)
	stdout, err := forgotten.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := forgotten.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forgotten.Wait() }()

	for i, namespace := range namespaces {
		if len(held(t, namespace)) == 0 {
			t.Errorf("nothing seems to hold %s of host %d before the end", namespace, i)
		}
	}
	for range 2 {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("the forgotten program ended with %v, want it killed", err)
		}
	case <-time.After(10 * time.Second):
		_ = forgotten.Process.Kill()
		t.Error("the forgotten program still runs")
	}
	for i, namespace := range namespaces {
		if holders := held(t, namespace); len(holders) > 0 {
			t.Errorf("%s of host %d is held by %v", namespace, i, holders)
		}
	}
	if err := n.Hosts()[0].Cut(); err == nil {
		t.Error("a closed network can be cut")
	}
	if out, err := n.Hosts()[0].Command(t.Context(), "true").CombinedOutput(); err == nil {
		t.Errorf("a program runs on a closed network: %s", out)
	}
}

func TestNew_RefusesWhatItCannotMake(t *testing.T) {
	t.Parallel()
	for _, o := range []netns.Options{{}, {Hosts: -1}, {Hosts: 255}} {
		n, err := netns.New(t.Context(), o)
		if err == nil {
			t.Errorf("%+v: it was made", o)
			_ = n.Close()
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if n, err := netns.New(ctx, netns.Options{Hosts: 2}); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context had ended: got %v, %v", n, err)
	}
}
