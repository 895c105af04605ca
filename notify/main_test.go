package notify_test

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"switchd/notify"
)

// TestMain is a courier's process too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "deliver" {
		if err := notify.Deliver(os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// courier sends from processes of this test's own program.
func courier(tb testing.TB) notify.Courier {
	tb.Helper()
	program, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	return notify.Courier{Program: program, Args: []string{"deliver"}}
}

// write makes a file of addresses.
func write(tb testing.TB, lines ...string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "addresses")
	rewrite(tb, path, lines...)
	return path
}

func rewrite(tb testing.TB, path string, lines ...string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func load(tb testing.TB, lines ...string) *notify.Addresses {
	tb.Helper()
	found, err := notify.Load(write(tb, lines...))
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

func open(tb testing.TB, path string, log io.Writer) *notify.File {
	tb.Helper()
	f, err := notify.Open(path, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		tb.Fatal(err)
	}
	return f
}
