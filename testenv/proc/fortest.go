//go:build linux

package proc

import "strings"

// TB is what ForTest needs of a *testing.T.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// ForTest returns a group that is closed when the test ends, with the ends of
// all logs shown if the test failed. A process that couldn't be ended fails
// the test.
func ForTest(tb TB) *Group {
	tb.Helper()
	g, err := NewGroup()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() {
		if err := g.Close(); err != nil {
			tb.Errorf("%v", err)
		}
		if !tb.Failed() {
			return
		}
		var tails strings.Builder
		if err := g.LogTails(&tails); err != nil {
			tb.Logf("%v", err)
		}
		tb.Logf("%s", tails.String())
	})
	return g
}
