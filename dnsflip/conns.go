package dnsflip

import (
	"net"
	"net/netip"
	"sync"
)

// conns are the open TCP connections, limited in all and by client address
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
		client = a.AddrPort().Addr().Unmap()
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

// closeAll closes all connections and lets no further one in.
func (c *conns) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.all {
		conn.Close() //nolint:errcheck // who serves it sees the error
	}
}
