package dnsflip

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Timeouts of TCP connections, RFC 7766 section 6.2.3: how long one
// may wait for its next query, and how long a message may take once it has
// begun.
const (
	tcpIdle    = 15 * time.Second
	tcpMessage = 5 * time.Second

	tcpIdleBusy    = 200 * time.Millisecond
	tcpMessageBusy = time.Second
)

// prefix6 is the shortest prefix of IPv6 that a single host is given, which
// can take any address in it.
const prefix6 = 64

// conns are the open TCP connections, limited in all and by client
// (RFC 7766 section 6.2.2).
type conns struct {
	max, maxEach int

	mu     sync.Mutex
	closed bool
	all    map[*net.TCPConn]netip.Addr
	each   map[netip.Addr]int
}

func newConns(limit int) *conns {
	return &conns{
		max:     limit,
		maxEach: max(1, limit/4),
		all:     map[*net.TCPConn]netip.Addr{},
		each:    map[netip.Addr]int{},
	}
}

// add takes a connection in and tells whether it may stay.
func (c *conns) add(conn *net.TCPConn) bool {
	var client netip.Addr
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		client = host(a.AddrPort().Addr().Unmap())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.all) >= c.max || c.each[client] >= c.maxEach {
		return false
	}
	c.all[conn] = client
	c.each[client]++
	return true
}

// remove closes a connection and forgets it.
func (c *conns) remove(conn *net.TCPConn) {
	conn.Close() //nolint:errcheck // closeAll may have been faster
	c.mu.Lock()
	defer c.mu.Unlock()
	client := c.all[conn]
	delete(c.all, conn)
	if c.each[client]--; c.each[client] == 0 {
		delete(c.each, client)
	}
}

func (c *conns) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// patience is how long a client may take for its next query, and for a message.
// While more than half of all connections are open they are to be quick, so
// that silent clients leave room for others: the period can vary dynamically,
// RFC 7766 section 6.2.3.
func (c *conns) patience() (idle, message time.Duration) {
	if 2*c.open() > c.max {
		return tcpIdleBusy, tcpMessageBusy
	}
	return tcpIdle, tcpMessage
}

// host is what one client is told from others by.
func host(client netip.Addr) netip.Addr {
	if client.Is4() || !client.IsValid() {
		return client
	}
	prefix, _ := client.WithZone("").Prefix(prefix6)
	return prefix.Addr()
}

// closeAll closes all connections and lets no further one in.
func (c *conns) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.all {
		conn.Close() //nolint:errcheck // who serves it sees the error
	}
}
