// Package utp stands in for github.com/anacrolix/go-utp, which the module
// proxy does not serve and switchd does not use: its swarm speaks TCP only.
// It has the names that github.com/anacrolix/torrent compiles against, and
// opens nothing.
package utp

import (
	"context"
	"errors"
	"log/slog"
	"net"
)

// Default names the implementation.
const Default = "none"

// ErrUnsupported is the error of every call.
var ErrUnsupported = errors.New("uTP is not part of this build")

// FirewallCallback decides on an incoming connection.
type FirewallCallback func(net.Addr) bool

// Option configures a socket.
type Option func()

// Socket is a uTP socket; there is none.
type Socket interface {
	net.PacketConn
	Accept() (net.Conn, error)
	Addr() net.Addr
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	SetFirewallCallback(FirewallCallback)
}

// WithLogger does nothing.
func WithLogger(*slog.Logger) Option { return func() {} }

// NewSocket returns ErrUnsupported.
func NewSocket(_, _ string, _ ...Option) (Socket, error) { return nil, ErrUnsupported }

// NewSocketFromPacketConn returns ErrUnsupported.
func NewSocketFromPacketConn(net.PacketConn, ...Option) (Socket, error) { return nil, ErrUnsupported }
