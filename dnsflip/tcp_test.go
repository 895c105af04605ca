package dnsflip

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestConverse_EndsIdleAndSlowClients(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		sent string
		open int // connections, of 8
		want time.Duration
	}{
		"silent":               {"", 4, tcpIdle},
		"half a length":        {"\x00", 4, tcpIdle},
		"half a message":       {"\x00\x20half", 4, tcpMessage},
		"a query, and no read": {"\x00\x0c\x12\x34\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 4, tcpMessage},

		"silent among many":               {"", 5, tcpIdleBusy},
		"half a message among many":       {"\x00\x20half", 5, tcpMessageBusy},
		"a query, and no read among many": {"\x00\x0c\x12\x34\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 5, tcpMessageBusy},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer client.Close() //nolint:errcheck // a test's client
				defer server.Close() //nolint:errcheck // a test's server
				s := quiet(Config{MaxTCPConns: 8})
				for range tt.open {
					s.conns.all[new(net.TCPConn)] = netip.Addr{}
				}
				ended := make(chan error)
				begin := time.Now()
				go func() { ended <- s.converse(server) }()
				if _, err := client.Write([]byte(tt.sent)); err != nil {
					t.Fatal(err)
				}
				err := <-ended
				if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != tt.want {
					t.Errorf("ended after %v with %v, want %v", time.Since(begin), err, tt.want)
				}
			})
		})
	}
}

func TestHost_IsOneWhateverAddressItTakes(t *testing.T) {
	t.Parallel()
	for client, want := range map[string]string{
		"192.0.2.1":           "192.0.2.1",
		"2001:db8:0:1:2:3::4": "2001:db8:0:1::",
		"fe80::1%eth0":        "fe80::",
	} {
		if got := host(netip.MustParseAddr(client)); got != netip.MustParseAddr(want) {
			t.Errorf("%s is %s, want %s", client, got, want)
		}
	}
}
