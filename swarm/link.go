package swarm

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"net/netip"
	"sync"
)

// link is an authenticated connection to a member. It is slowed to the
// limits that it is under.
type link struct {
	*tls.Conn

	peer   Member
	alias  netip.AddrPort
	up     []limit
	down   limit
	open   context.Context // It is the connection's, as the link is.
	cancel context.CancelFunc
	links  *links
}

// RemoteAddr returns the member's alias.
func (l *link) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(l.alias) }

// Read hands out bytes no faster than the limit; TCP then slows the sender.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if waitErr := l.down.wait(l.open, n); err == nil && waitErr != nil {
		err = net.ErrClosed
	}
	return n, err
}

func (l *link) Write(p []byte) (int, error) {
	for _, limit := range l.up {
		if limit.wait(l.open, len(p)) != nil {
			return 0, net.ErrClosed
		}
	}
	return l.Conn.Write(p)
}

// Close ends the connection at once. A TLS alert could wait for a peer that
// takes nothing.
func (l *link) Close() error {
	l.cancel()
	l.links.remove(l)
	return l.NetConn().Close()
}

// links are the open connections, and the members that the swarm knows by
// their aliases.
type links struct {
	mu      sync.Mutex
	open    map[*link]struct{}
	members map[netip.AddrPort]Member
	closed  bool
}

func newLinks() *links {
	return &links{open: map[*link]struct{}{}, members: map[netip.AddrPort]Member{}}
}

// know remembers a member under its alias.
func (l *links) know(at netip.AddrPort, m Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.members[at] = m
}

// forget closes all connections of a member that is none any more.
func (l *links) forget(at netip.AddrPort) {
	l.mu.Lock()
	delete(l.members, at)
	var gone []*link
	for link := range l.open {
		if link.alias == at {
			gone = append(gone, link)
		}
	}
	l.mu.Unlock()
	for _, link := range gone {
		link.Close() //nolint:errcheck // There is nothing left to do about it.
	}
}

func (l *links) member(at netip.AddrPort) (Member, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.members[at]
	return m, ok
}

func (l *links) known() map[netip.AddrPort]Member {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.members)
}

// add takes a new connection, unless all are closed for good.
func (l *links) add(link *link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.open[link] = struct{}{}
	return true
}

func (l *links) remove(link *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, link)
}

// close ends all connections and those to come.
func (l *links) close() {
	l.mu.Lock()
	l.closed = true
	open := make([]*link, 0, len(l.open))
	for link := range l.open {
		open = append(open, link)
	}
	l.mu.Unlock()
	for _, link := range open {
		link.Close() //nolint:errcheck // There is nothing left to do about it.
	}
}
