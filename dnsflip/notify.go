package dnsflip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip/tsig"
	"switchd/zone"
)

const (
	// notifyFirst is the time from the first notification to the second; each
	// further one takes twice as long, up to notifyLast (RFC 1996 section 3.6
	// has 60 s from the first: a flip can't wait for that).
	notifyFirst = time.Second
	notifyLast  = time.Minute
	// notifyReply is how long a reply is waited for.
	notifyReply = 5 * time.Second
	// notifyWarn is the try after which somebody should look.
	notifyWarn = 4
)

// notifier tells secondaries of new versions of zones, RFC 1996: again and
// again, until they acknowledge it or there is a newer version.
type notifier struct {
	log   *slog.Logger
	keys  *tsig.Ring
	local []netip.Addr // the server's addresses: secondaries know it by them

	running sync.WaitGroup
	mu      sync.Mutex
	closed  bool
	notices map[recipient]*notice
}

// recipient is one who is told.
type recipient struct {
	origin zone.Name
	Secondary
}

// notice is the latest that a recipient is told.
type notice struct {
	serial uint32
	stop   context.CancelFunc
	done   bool // it was acknowledged, or won't be; guarded by notifier.mu
}

// newNotifier returns a notifier. local are the addresses to send from; those
// that aren't of use for a secondary are ignored.
func newNotifier(keys *tsig.Ring, local []netip.Addr, log *slog.Logger) *notifier {
	return &notifier{log: log, keys: keys, local: local, notices: map[recipient]*notice{}}
}

// tell tells secondaries of the version of a zone, in the background. Those
// that aren't among them any more are told nothing further.
func (n *notifier) tell(z *zone.Zone, secondaries []Secondary) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	for to, last := range n.notices {
		if to.origin == z.Origin() && !slices.Contains(secondaries, to.Secondary) {
			last.stop()
			delete(n.notices, to)
		}
	}
	for _, s := range secondaries {
		to := recipient{z.Origin(), s}
		last := n.notices[to]
		if last != nil && last.serial == z.Serial() {
			continue
		}
		if last != nil {
			last.stop()
		}
		ctx, stop := context.WithCancel(context.Background())
		next := &notice{serial: z.Serial(), stop: stop}
		n.notices[to] = next
		n.running.Go(func() {
			defer stop()
			n.insist(ctx, to, z.SOA())
			n.mu.Lock()
			defer n.mu.Unlock()
			next.done = true
		})
	}
}

// pending counts the secondaries that haven't acknowledged the latest version
// yet.
func (n *notifier) pending() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, notice := range n.notices {
		if !notice.done {
			count++
		}
	}
	return count
}

// close ends all notifications.
func (n *notifier) close() {
	n.mu.Lock()
	n.closed = true
	for _, notice := range n.notices {
		notice.stop()
	}
	n.mu.Unlock()
	n.running.Wait()
}

// insist sends notifications until one is acknowledged.
func (n *notifier) insist(ctx context.Context, to recipient, soa *dns.SOA) {
	log := n.log.With("zone", to.origin, "secondary", to.Addr, "serial", soa.Serial)
	if to.Key != "" && n.keys.Key(to.Key) == nil {
		log.ErrorContext(ctx, "secondary can't be notified", "error", fmt.Errorf("there is no TSIG key %s: give its file to this replica", to.Key))
		return
	}
	pause := notifyFirst
	for try := 1; ; try++ {
		next := time.Now().Add(pause)
		err := n.once(ctx, to, soa, min(pause, notifyReply))
		switch {
		case err == nil:
			if try > notifyWarn {
				log.InfoContext(ctx, "secondary has acknowledged the notification", "tries", try)
			}
			return
		case ctx.Err() != nil:
			return
		case try == notifyWarn:
			log.WarnContext(ctx, "secondary doesn't acknowledge notifications; going on", "tries", try, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(next)):
		}
		pause = min(2*pause, notifyLast)
	}
}

// once sends one notification and waits for the reply.
func (n *notifier) once(ctx context.Context, to recipient, soa *dns.SOA, timeout time.Duration) error {
	packet, request, err := n.notification(to, soa)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := n.dial(ctx, to.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()                                                           //nolint:errcheck // all has been said
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })() //nolint:errcheck // it only wakes the reader
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	buf := make([]byte, dns.MaxMsgSize)
	for {
		length, err := conn.Read(buf)
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("no reply within %s", timeout)
			}
			return err
		}
		var reply dns.Msg
		if reply.Unpack(buf[:length]) != nil || reply.Id != request.Id || !reply.Response || reply.Opcode != dns.OpcodeNotify {
			continue // it is none to this notification
		}
		return n.judge(buf[:length], &reply, request)
	}
}

// notification returns a message, as it is sent and as it was signed.
func (n *notifier) notification(to recipient, soa *dns.SOA) ([]byte, *dns.Msg, error) {
	m := new(dns.Msg).SetNotify(to.origin.String())
	m.Answer = []dns.RR{soa} // a hint, section 3.7
	key := n.keys.Key(to.Key)
	if key == nil {
		packet, err := m.Pack()
		return packet, m, err
	}
	m.SetTsig(key.Name, key.Algorithm, uint16(tsig.Fudge/time.Second), time.Now().Unix())
	signature := m.IsTsig()
	packet, mac, err := dns.TsigGenerateWithProvider(m, n.keys.Provider(), "", false)
	if err != nil {
		return nil, nil, err
	}
	signature.MAC = mac
	m.Extra = append(m.Extra, signature)
	return packet, m, nil
}

// judge returns why a reply is no acknowledgment.
func (n *notifier) judge(packet []byte, reply, request *dns.Msg) error {
	signature := reply.IsTsig()
	if signature != nil && signature.Error != dns.RcodeSuccess {
		return fmt.Errorf("it refuses the TSIG key %s: %s", signature.Hdr.Name, dns.RcodeToString[int(signature.Error)])
	}
	if reply.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("it answers %s: let it take notifications for the zone from this address or with this key", rcodeName(reply.Rcode))
	}
	if sent := request.IsTsig(); sent != nil {
		if signature == nil {
			return errors.New("its reply isn't signed")
		}
		if err := dns.TsigVerifyWithProvider(packet, n.keys.Provider(), sent.MAC, false); err != nil {
			return fmt.Errorf("its reply: %w", err)
		}
	}
	return nil
}

// dial opens a socket of its own, whose port nobody knows to forge a reply.
func (n *notifier) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	for _, addr := range n.local {
		if addr.Is4() == to.Addr().Unmap().Is4() && addr.IsLoopback() == to.Addr().IsLoopback() && !addr.IsUnspecified() {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))
			break
		}
	}
	return d.DialContext(ctx, "udp", to.String())
}
