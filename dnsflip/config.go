package dnsflip

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/dnsflip/cookie"
	"switchd/dnsflip/rrl"
	"switchd/dnsflip/tsig"
	"switchd/dnssec"
)

// Config says how a Server listens and what it keeps.
type Config struct {
	// Listen are addresses as host:port, each for UDP and TCP. Port 0 means
	// any port that is free for both.
	Listen []string
	// Loops is the number of sockets by UDP of each address, each served by a
	// loop of its own: one a core. 0: GOMAXPROCS.
	Loops int
	// Packets and Listeners are sockets that are bound already: a service
	// manager's. The server closes them.
	Packets   []net.PacketConn
	Listeners []net.Listener
	// Bound is called by Start once all addresses are bound and before the
	// first packet is read: the moment to give up privileges. nil: nothing.
	Bound func() error
	// File is the last-known file. Empty: nothing outlives the process.
	File string
	// ID is what the server answers to CH TXT id.server and to NSID, so that
	// replicas can be told apart. Empty: they are not answered.
	ID string
	// MaxTCPConns is the number of TCP connections that may be open, a
	// quarter of it from one address. 0: DefaultMaxTCPConns.
	MaxTCPConns int
	// Cookies are the secrets of RFC 9018, the same on all replicas. nil: one
	// of this process.
	Cookies *cookie.Jar
	// Limiter bounds the rate of replies by UDP. nil: no bound.
	Limiter *rrl.Limiter
	// TSIG are the keys of transfers and notifications. nil: none.
	TSIG *tsig.Ring
	// Transfers and Secondaries are who may copy the plain zones, and who is
	// told of changes. For the zone of a view, the view says.
	Transfers   []Transfer
	Secondaries []Secondary
	// Keys are those that zones are signed with, each zone with its own.
	Keys []dnssec.Key
	// QueryLog is the share of queries that are logged, 0 to 1.
	QueryLog float64
	// Log is where the server writes. nil: slog.Default().
	Log *slog.Logger
	// Rand gives uniform random numbers for the choice among pools and the
	// order of addresses. It must be safe for concurrent use. nil:
	// math/rand/v2.Uint64.
	Rand func() uint64
	// Registerer takes the server's metrics from Start to Close. nil: none.
	Registerer prometheus.Registerer
}

// DefaultMaxTCPConns is the number of TCP connections that may be open if
// Config does not say.
const DefaultMaxTCPConns = 512

// validID accepts what needs no escapes in a TXT record.
func validID(id string) error {
	const most = 64 // there is room for it in each reply
	if len(id) > most {
		return fmt.Errorf("server id must have at most %d bytes, got %d", most, len(id))
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' || c == '\\' || c == '"' {
			return fmt.Errorf("server id %q has a blank, a quote, a backslash or a character beyond ASCII", id)
		}
	}
	return nil
}
