package cluster

import (
	"os"
	"testing"
)

// ForTest starts a cluster for a test and ends it with the test. When the test
// has failed, the ends of all logs are shown.
func ForTest(tb testing.TB, opts Options) *Cluster {
	tb.Helper()
	opts.Dir, opts.Progress = tb.TempDir(), os.Stderr
	c, err := Start(tb.Context(), opts)
	tb.Cleanup(func() {
		if tb.Failed() && c.Group != nil {
			if err := c.Group.LogTails(tb.Output()); err != nil {
				tb.Log(err)
			}
		}
		if err := c.Close(); err != nil {
			tb.Errorf("end the cluster: %v", err)
		}
	})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
