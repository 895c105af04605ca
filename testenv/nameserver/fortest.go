//go:build linux

package nameserver

import (
	"testing"

	"switchd/testenv/proc"
)

// ForTest starts a name server that ends with the test; the ends of its log
// are shown if the test fails. A program that is not installed fails the
// test.
func ForTest(tb testing.TB, kind Kind, o Options) *Server {
	tb.Helper()
	return forTest(tb, func(group *proc.Group) (*Server, error) { return Start(tb.Context(), group, kind, o) })
}

// ResolverForTest does what ForTest does, for Unbound.
func ResolverForTest(tb testing.TB, o ResolverOptions) *Server {
	tb.Helper()
	return forTest(tb, func(group *proc.Group) (*Server, error) { return StartResolver(tb.Context(), group, o) })
}

func forTest(tb testing.TB, start func(*proc.Group) (*Server, error)) *Server {
	tb.Helper()
	var server *Server
	tb.Cleanup(func() { // after the group, whose logs are in the folder
		if server == nil {
			return
		}
		if err := server.Close(); err != nil {
			tb.Error(err)
		}
	})
	group := proc.ForTest(tb)
	server, err := start(group)
	if err != nil {
		tb.Fatal(err)
	}
	return server
}
