//go:build linux

package netns

import "context"

// TB is what ForTest needs of a *testing.T.
type TB interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// ForTest returns a network that is closed when the test ends. What can't be
// removed fails the test.
func ForTest(tb TB, o Options) *Net {
	tb.Helper()
	n, err := New(tb.Context(), o)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Errorf("%v", err)
		}
	})
	return n
}
