package pagecache_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"switchd/pagecache"
)

// The first argument makes the test binary another program, on its stdin and
// stdout.
const (
	asPin      = "act-as-pin"
	asAgent    = "act-as-agent"    // starts a pin process, says its handle, waits
	asChecker  = "act-as-checker"  // says what Check has against a number of bytes
	asNeighbor = "act-as-neighbor" // downloads beside a running service
)

func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		goleak.VerifyTestMain(m)
		return
	}
	var err error
	switch os.Args[1] {
	case asPin:
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err = pagecache.PinMain(ctx, os.Stdin, os.Stdout)
	case asAgent:
		err = actAsAgent()
	case asChecker:
		err = actAsChecker()
	case asNeighbor:
		err = actAsNeighbor()
	default:
		goleak.VerifyTestMain(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pinCommand is how this program becomes a pin process. /proc/self/exe can be
// run by a user who can't enter its directory.
func pinCommand() []string { return []string{"/proc/self/exe", asPin} }

func actAsAgent() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := lowerMemlock(); err != nil {
		return err
	}
	h, err := pagecache.NewPinner(pinCommand(), slog.New(slog.DiscardHandler)).Start(ctx, os.Args[2], os.Args[3:])
	if err != nil {
		return err
	}
	fmt.Println(h)
	_, err = io.Copy(io.Discard, os.Stdin) // Until the test ends or kills it.
	return err
}

func actAsChecker() error {
	if err := lowerMemlock(); err != nil {
		return err
	}
	n, err := strconv.ParseInt(os.Args[2], 10, 64)
	if err != nil {
		return err
	}
	return pagecache.Check(n, pagecache.Lock)
}

// memlock is RLIMIT_MEMLOCK of those who have no capability to pass it.
const memlock = 64 << 10

func lowerMemlock() error {
	return unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: memlock, Max: memlock})
}

// act returns a command that runs this program as another one.
func act(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	return cmd
}

// powerless makes a command one of a user without capabilities.
func powerless(cmd *exec.Cmd) *exec.Cmd {
	if os.Getuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// diskDir returns a directory on a disk, which others may enter: what a tmpfs
// holds is nowhere else.
func diskDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		var err error
		if dir, err = os.MkdirTemp("/var/tmp", "switchd-pagecache"); err != nil { //nolint:usetesting // t.TempDir is not on a disk here.
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // Below /var/tmp.
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil && !errors.Is(err, os.ErrPermission) { //nolint:gosec // Others are to enter it.
			t.Fatal(err)
		}
	}
	return dir
}

// content returns n bytes that are not the same at any two pages.
func content(n int) []byte {
	block := make([]byte, 1<<20-1)
	_, _ = rand.NewChaCha8([32]byte{}).Read(block) // It never fails.
	return bytes.Repeat(block, n/len(block)+1)[:n]
}

// writeFile makes a file of n bytes that is on the disk and not in the cache.
func writeFile(t testing.TB, path string, n int) {
	t.Helper()
	if err := os.WriteFile(path, content(n), 0o644); err != nil { //nolint:gosec // Others are to read it.
		t.Fatal(err)
	}
	evict(t, path)
}

// evict drops a file from the page cache as far as that goes.
func evict(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // Synced.
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}

// wantResident fails the test unless so many pages of a file are cached.
func wantResident(t testing.TB, path string, want int) {
	t.Helper()
	got, _, err := pagecache.Resident(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s: %d pages are cached, want %d", filepath.Base(path), got, want)
	}
}

func decode(t testing.TB, text []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}
