package swarm_test

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"switchd/artifact"
	"switchd/swarm"
)

// strangerTLS has a key that is nobody's.
func strangerTLS(t testing.TB) *tls.Config {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	must(t, err)
	return &tls.Config{
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:         []string{"switchd-swarm/1"},
		InsecureSkipVerify: true, //nolint:gosec // A stranger doesn't care.
	}
}

// knock says the BitTorrent hello for an artifact and returns what comes.
func knock(t testing.TB, conn net.Conn, m artifact.Manifest) []byte {
	t.Helper()
	hello := "\x13BitTorrent protocol" + strings.Repeat("\x00", 8)
	for i := 0; i < len(m.InfoHash); i += 2 {
		b, ok := new(big.Int).SetString(m.InfoHash[i:i+2], 16)
		if !ok {
			t.Fatal(m.InfoHash)
		}
		hello += string([]byte{byte(b.Int64())})
	}
	hello += "-XX0001-abcdefghijkl"
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	if _, err := conn.Write([]byte(hello)); err != nil {
		return nil // It is closed already.
	}
	got, err := io.ReadAll(conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("the connection stays open")
	}
	return got
}

func TestGate_GivesAStrangerNotOneByte(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 1<<20)
	seed := newNode(t, w, "seed")
	seed.seed(t, m, archive)
	at := seed.Self().Addr.String()

	stranger := strangerTLS(t)
	conn, err := (&tls.Dialer{Config: stranger}).DialContext(t.Context(), "tcp", at)
	must(t, err)
	defer conn.Close() //nolint:errcheck // The bytes count.
	if got := knock(t, conn, m); len(got) > 0 {
		t.Errorf("a stranger got %q", got)
	}

	stranger.Certificates = nil
	nameless, err := (&tls.Dialer{Config: stranger}).DialContext(t.Context(), "tcp", at)
	if err == nil { // In TLS 1.3 the refusal comes after the handshake.
		defer nameless.Close() //nolint:errcheck // The bytes count.
		if got := knock(t, nameless, m); len(got) > 0 {
			t.Errorf("who has no certificate got %q", got)
		}
	}

	plain, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", at)
	must(t, err)
	defer plain.Close() //nolint:errcheck // The bytes count.
	// What comes is a TLS alert at most (RFC 8446 section 6): 5 + 2 bytes.
	if got := knock(t, plain, m); len(got) > 7 {
		t.Errorf("who speaks no TLS got %q", got)
	}
	if p := seed.of(t, m); p.Sent != 0 || p.Peers != 0 {
		t.Errorf("the seed's progress is %+v", p)
	}
}

func TestGate_TellsAStrangerAtAMembersAddressNothing(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 1<<20)
	newNode(t, w, "seed").seed(t, m, archive)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", strangerTLS(t))
	must(t, err)
	heard := make(chan []byte, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			heard <- nil
			return
		}
		defer conn.Close()                                 //nolint:errcheck // The bytes count.
		conn.SetDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // The read fails then.
		got, _ := io.ReadAll(conn)                         // It ends somehow.
		heard <- got
	}()
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	})
	id, err := swarm.NewIdentity()
	must(t, err)
	robbed := swarm.Member{
		Node: "robbed", Addr: netip.MustParseAddrPort(listener.Addr().String()), Fingerprint: id.Fingerprint(), Datacenter: "east", Rack: "r1",
	}
	w.join(robbed)
	w.holds(m, robbed, true)
	leech := newNode(t, w, "n1")
	must(t, leech.fetch(t.Context(), m))
	if got := <-heard; len(got) > 0 {
		t.Errorf("the stranger heard %q", got)
	}
}

func TestGate_ShutsOutWhoIsNoMemberAnyMore(t *testing.T) {
	t.Parallel()
	w, seesAll := newTown(), newTown()
	m, archive := newArchive(t, "1.0.0", 64<<20)
	seed := newNode(t, w, "seed", func(c *swarm.Config) { c.UpRate = 1 << 20 })
	seed.seed(t, m, archive)
	leech := newNode(t, seesAll, "n1") // It still believes in both.
	w.join(leech.Self())
	seesAll.join(seed.Self())
	seesAll.holds(m, seed.Self(), true)
	ctx, cancel := context.WithCancel(t.Context())
	fetched := make(chan error, 1)
	go func() { fetched <- leech.fetch(ctx, m) }()
	eventually(t, "bytes come", func() bool { return seed.of(t, m).Sent > 0 })
	w.leave(leech.Self())
	eventually(t, "the connection ends", func() bool { return seed.of(t, m).Peers == 0 })
	sent := seed.of(t, m).Sent
	eventually(t, "the leech has tried again", func() bool { return leech.of(t, m).Quiet > 3*time.Second })
	if now := seed.of(t, m); now.Sent != sent || now.Peers != 0 {
		t.Errorf("it got %d bytes more", now.Sent-sent)
	}
	cancel()
	if err := <-fetched; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestGate_LetsNobodyInAndKeepsAllWhileNobodyCanTellWhoIsAMember(t *testing.T) {
	t.Parallel()
	w := newTown()
	m, archive := newArchive(t, "1.0.0", 6<<20)
	seed := newNode(t, w, "seed", func(c *swarm.Config) { c.UpRate = 2 << 20 })
	seed.seed(t, m, archive)
	in, out := newNode(t, w, "in"), newNode(t, w, "out")
	fetched := make(chan error, 1)
	go func() { fetched <- in.fetch(t.Context(), m) }()
	eventually(t, "the first node gets something", func() bool { return in.done(m) > 0 })
	w.fails(errors.New("no leader"), nil)
	late := make(chan error, 1)
	go func() { late <- out.fetch(t.Context(), m) }()
	must(t, <-fetched) // It takes longer than all members are looked at again.
	if got := out.done(m); got != 0 {
		t.Errorf("a node that nobody could look up has %d bytes", got)
	}
	w.fails(nil, nil)
	must(t, <-late)
	must(t, m.VerifyFile(t.Context(), out.path(m)))
}

func TestOpen_NamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, newTown(), "n1")
	cfg.Listen = "192.0.2.1:0" // Documentation only (RFC 5737): not ours.
	if s, err := swarm.Open(cfg); err == nil || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("error is %v, swarm %v", err, s)
	}
	cfg = newConfig(t, newTown(), "n1")
	cfg.Identity = swarm.Identity{}
	if s, err := swarm.Open(cfg); err == nil || !strings.Contains(err.Error(), "identity") {
		t.Errorf("error is %v, swarm %v", err, s)
	}
}

func TestSelf_HasThePortAndTheAddressThatOthersReach(t *testing.T) {
	t.Parallel()
	n := newNode(t, newTown(), "n1", func(c *swarm.Config) {
		c.Listen = "0.0.0.0:0"
		c.Self.Addr = netip.MustParseAddrPort("127.0.0.9:0")
	})
	if at := n.Self().Addr; at.Addr().String() != "127.0.0.9" || at.Port() == 0 {
		t.Errorf("others find it at %v", at)
	}
}

func TestRates_AreNotExceeded(t *testing.T) {
	t.Parallel()
	const rate, size = 1 << 20, 5 << 19
	for name, c := range map[string]struct{ seed, leech func(*swarm.Config) }{
		"up":   {func(c *swarm.Config) { c.UpRate = rate }, func(*swarm.Config) {}},
		"down": {func(*swarm.Config) {}, func(c *swarm.Config) { c.DownRate = rate }},
		"rack": {
			func(c *swarm.Config) { c.RackUpRate, c.RackPeers = 4*rate, func() int { return 4 } },
			func(c *swarm.Config) { c.Self.Rack = "r2" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown()
			m, archive := newArchive(t, "1.0.0", size)
			newNode(t, w, "seed", c.seed).seed(t, m, archive)
			leech := newNode(t, w, "n1", c.leech)
			begin := time.Now()
			must(t, leech.fetch(t.Context(), m))
			want := time.Duration(float64(size) / rate * float64(time.Second))
			if took := time.Since(begin); took < want*8/10 {
				t.Errorf("%d bytes at %d a second took only %v, want %v", size, rate, took, want)
			}
		})
	}
}
