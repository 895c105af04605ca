package dnsflip

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says how a Server listens and what it keeps.
type Config struct {
	// Listen are addresses as host:port, each for UDP and TCP. Port 0 means
	// any port that is free for both.
	Listen []string
	// File is the last-known file. Empty: nothing outlives the process.
	File string
	// ID is what the server answers to CH TXT id.server and to NSID, so that
	// replicas can be told apart. Empty: they are not answered.
	ID string
	// MaxTCPConns is the number of TCP connections that may be open, a
	// quarter of it from one address. 0: DefaultMaxTCPConns.
	MaxTCPConns int
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
	if len(id) > 255 {
		return fmt.Errorf("server id must have at most 255 bytes, got %d", len(id))
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' || c == '\\' || c == '"' {
			return fmt.Errorf("server id %q has a blank, a quote, a backslash or a character beyond ASCII", id)
		}
	}
	return nil
}
