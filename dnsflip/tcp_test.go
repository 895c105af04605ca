package dnsflip

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestConverse_EndsIdleAndSlowClients(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		sent string
		want time.Duration
	}{
		"silent":               {"", tcpIdle},
		"half a length":        {"\x00", tcpIdle},
		"half a message":       {"\x00\x20half", tcpMessage},
		"a query, and no read": {"\x00\x0c\x12\x34\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", tcpMessage},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer client.Close() //nolint:errcheck // a test's client
				defer server.Close() //nolint:errcheck // a test's server
				ended := make(chan error)
				begin := time.Now()
				go func() { ended <- quiet(Config{}).converse(server) }()
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
