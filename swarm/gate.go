package swarm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	handshakeTimeout = 10 * time.Second // of TCP and TLS together
	maxHandshakes    = 64               // of incoming connections at a time
	deadPeer         = 15 * time.Second // a peer that acknowledges nothing for so long is gone
	unsent           = 16 << 10         // bytes that wait in the kernel for TCP to send them
)

// gate is the only way in and out: it dials and accepts mutual TLS, and lets
// nobody through who isn't a member now.
type gate struct {
	listener net.Listener
	dialer   net.Dialer
	config   *tls.Config
	members  Membership
	links    *links
	self     Member
	up       limit
	rackUp   limit
	down     limit
	log      *slog.Logger

	ready   chan *link
	stop    context.Context // It is the gate's own.
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// keepAlive finds peers that vanished while nothing was under way.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: deadPeer / 3, Interval: deadPeer / 3, Count: 2}

// socketOptions finds peers that vanished while bytes were under way, and
// keeps short what is queued before a request: until it arrives, its peer has
// nothing to send (tcp(7)). Accepted connections have them from the listener.
func socketOptions(_, _ string, conn syscall.RawConn) error {
	var err error
	if ctlErr := conn.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadPeer.Milliseconds())),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent),
		)
	}); ctlErr != nil {
		return ctlErr
	}
	return err
}

// newGate listens, and accepts nobody before open.
func newGate(cfg Config, links *links) (*gate, error) {
	listen := net.ListenConfig{Control: socketOptions, KeepAliveConfig: keepAlive}
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := listen.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("listen for the swarm: %w", err)
	}
	return &gate{
		listener: listener,
		dialer:   net.Dialer{Control: socketOptions, KeepAliveConfig: keepAlive, Timeout: handshakeTimeout},
		config:   cfg.Identity.tls(),
		members:  cfg.Members,
		links:    links,
		self:     cfg.Self,
		up:       newLimit(cfg.UpRate),
		rackUp:   newLimit(0),
		down:     newLimit(cfg.DownRate),
		log:      cfg.Log,
		ready:    make(chan *link),
		stop:     ctx,
		cancel:   cancel,
	}, nil
}

// open begins to accept.
func (g *gate) open() {
	g.running.Go(g.accept)
}

// close ends everything that the gate has let through.
func (g *gate) close() error {
	g.cancel()
	err := g.listener.Close()
	g.links.close()
	g.running.Wait()
	return err
}

func (g *gate) accept() {
	slots := make(chan struct{}, maxHandshakes)
	for {
		select {
		case slots <- struct{}{}:
		case <-g.stop.Done():
			return
		}
		conn, err := g.listener.Accept()
		if err != nil {
			<-slots
			if g.stop.Err() != nil {
				return
			}
			g.log.WarnContext(g.stop, "accept swarm connection", "error", err)
			select { // Out of file descriptors, most likely.
			case <-time.After(time.Second):
			case <-g.stop.Done():
			}
			continue
		}
		g.running.Go(func() {
			link, err := g.admit(conn)
			<-slots
			if err != nil {
				g.log.WarnContext(g.stop, "swarm connection refused", "from", conn.RemoteAddr().String(), "error", err)
				return
			}
			select {
			case g.ready <- link:
			case <-g.stop.Done():
				link.Close() //nolint:errcheck // There is nothing left to do about it.
			}
		})
	}
}

// admit finds out who has come, and closes the connection unless it is a
// member. Nothing is sent before but the handshake.
func (g *gate) admit(conn net.Conn) (*link, error) {
	ctx, cancel := context.WithTimeout(g.stop, handshakeTimeout)
	defer cancel()
	secure := tls.Server(conn, g.config)
	peer, err := g.identify(ctx, secure)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return g.link(secure, peer)
}

func (g *gate) identify(ctx context.Context, conn *tls.Conn) (Member, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		return Member{}, fmt.Errorf("handshake: %w", err)
	}
	shown, err := peerFingerprint(conn)
	if err != nil {
		return Member{}, err
	}
	peer, ok, err := g.members.Member(ctx, shown)
	if err != nil {
		return Member{}, fmt.Errorf("look up whose fingerprint %s is: %w", shown, err)
	}
	if !ok {
		return Member{}, fmt.Errorf("fingerprint %s is no member's", shown)
	}
	peer.Fingerprint = shown
	return peer, nil
}

func (g *gate) link(conn *tls.Conn, peer Member) (*link, error) {
	at, err := alias(peer.Fingerprint)
	if err != nil {
		return nil, errors.Join(err, conn.NetConn().Close())
	}
	g.links.know(at, peer)
	up := []limit{g.up}
	if peer.distance(g.self) != sameRack {
		up = append(up, g.rackUp)
	}
	ctx, cancel := context.WithCancel(g.stop)
	l := &link{Conn: conn, peer: peer, alias: at, up: up, down: g.down, open: ctx, cancel: cancel, links: g.links}
	if !g.links.add(l) {
		return nil, errors.Join(net.ErrClosed, l.Close())
	}
	return l, nil
}

// Accept returns the next connection of a member.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case l := <-g.ready:
		return l, nil
	case <-g.stop.Done():
		return nil, net.ErrClosed
	}
}

// Addr returns where the gate listens.
func (g *gate) Addr() net.Addr { return g.listener.Addr() }

// DialerNetwork returns what the library calls the way out.
func (g *gate) DialerNetwork() string { return "tcp" }

// Dial connects to the member with an alias, and to nobody else at its
// address.
func (g *gate) Dial(ctx context.Context, addr string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	peer, ok := g.links.member(at)
	if !ok {
		return nil, fmt.Errorf("dial %s: it is no member's", addr)
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	defer context.AfterFunc(g.stop, cancel)()
	conn, err := g.dialer.DialContext(ctx, "tcp", peer.Addr.String())
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", peer.Node, err)
	}
	secure := tls.Client(conn, g.config)
	if err := g.expect(ctx, secure, peer); err != nil {
		return nil, errors.Join(fmt.Errorf("dial %s at %s: %w", peer.Node, peer.Addr, err), conn.Close())
	}
	return g.link(secure, peer)
}

func (g *gate) expect(ctx context.Context, conn *tls.Conn, peer Member) error {
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	shown, err := peerFingerprint(conn)
	if err != nil {
		return err
	}
	if shown != peer.Fingerprint {
		return fmt.Errorf("its fingerprint is %s, not %s", shown, peer.Fingerprint)
	}
	return nil
}
