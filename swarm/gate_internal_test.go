package swarm

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSocketOptions_AreThoseOfBothEnds(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{Control: socketOptions}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // It has served.
	client, err := (&net.Dialer{Control: socketOptions}).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // It has served.
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close() //nolint:errcheck // It has served.
	for end, conn := range map[string]net.Conn{"dialed": client, "accepted": server} {
		for option, want := range map[int]int{unix.TCP_NOTSENT_LOWAT: unsent, unix.TCP_USER_TIMEOUT: int(deadPeer.Milliseconds())} {
			raw, err := conn.(syscall.Conn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			var got int
			var optErr error
			if err := raw.Control(func(fd uintptr) { got, optErr = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option) }); err != nil || optErr != nil {
				t.Fatal(err, optErr)
			}
			if got != want {
				t.Errorf("the %s end has %d for option %d, want %d", end, got, option, want)
			}
		}
	}
}
