package pagecache_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"switchd/pagecache"
)

func TestCheck_AllowsWhatFits(t *testing.T) {
	t.Parallel()
	for _, bytes := range []int64{0, 1, 4096} {
		for _, mode := range []pagecache.Mode{pagecache.Cache, pagecache.Lock} {
			if err := pagecache.Check(bytes, mode); err != nil {
				t.Errorf("%d bytes, %s: %v", bytes, mode, err)
			}
		}
	}
}

func TestCheck_SaysWhichRightIsMissing(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[string]string{"65536": "", "65537": "preload 1 MiB (lock): not allowed to lock so much memory: RLIMIT_MEMLOCK is 65536 bytes and CAP_IPC_LOCK is missing; " +
		"add LimitMEMLOCK=infinity, or AmbientCapabilities=CAP_IPC_LOCK, to the [Service] section of the agent's systemd unit\n"} {
		if got := checkPowerless(t, bytes); got != want {
			t.Errorf("%s bytes: got %q, want %q", bytes, got, want)
		}
	}
}

func checkPowerless(t *testing.T, n string) string {
	t.Helper()
	cmd := powerless(act(deadline(t), asChecker, n))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	_ = cmd.Run() // It says why on stderr.
	return stderr.String()
}

func TestCheck_RefusesMoreThanTheMachineHas(t *testing.T) {
	t.Parallel()
	for _, mode := range []pagecache.Mode{pagecache.Cache, pagecache.Lock} {
		err := pagecache.Check(1<<46, mode)
		if !errors.Is(err, pagecache.ErrNoMemory) {
			t.Errorf("got %v", err)
		}
		wantError(t, err, "preload 67108864 MiB ("+string(mode)+")", "MemAvailable is ")
	}
	if err := pagecache.Check(1, "some"); err == nil {
		t.Error("an unknown mode was accepted")
	}
	if err := pagecache.Check(-1, pagecache.Cache); err == nil {
		t.Error("a negative size was accepted")
	}
}

// kernel writes what the kernel tells of memory into files.
func kernel(t *testing.T, files map[string]string) (proc, cgroups string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	proc = filepath.Join(dir, "proc")
	if err := os.Symlink("42", filepath.Join(proc, "self")); err != nil {
		t.Fatal(err)
	}
	return proc, filepath.Join(dir, "cgroup")
}

const plenty = "MemTotal: 99999999 kB\nMemAvailable: 99999999 kB\n"

func TestRoom_HeedsTheTightestGroup(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, c := range map[string]struct {
		files map[string]string
		fits  int64 // bytes; one more doesn't
	}{
		"the machine": {map[string]string{"proc/meminfo": "MemAvailable: 102400 kB\n", "proc/42/cgroup": "0::/\n"}, 36 * mib},
		"version 2": {map[string]string{
			"proc/meminfo": plenty, "proc/42/cgroup": "0::/system.slice/agent.service\n",
			"cgroup/system.slice/agent.service/memory.max":     "314572800\n", // 300 MiB
			"cgroup/system.slice/agent.service/memory.current": "209715200\n",
			"cgroup/system.slice/agent.service/memory.stat":    "anon 1\ninactive_file 10485760\nactive_file 20971520\nunevictable 99\n",
			"cgroup/system.slice/memory.max":                   "max\n",
		}, (300 - 200 + 30 - 64) * mib},
		"version 2, the slice": {map[string]string{
			"proc/meminfo": plenty, "proc/42/cgroup": "0::/system.slice/agent.service\n",
			"cgroup/system.slice/agent.service/memory.max": "max\n",
			"cgroup/system.slice/memory.max":               "104857600\n",
			"cgroup/system.slice/memory.current":           "0\n",
			"cgroup/system.slice/memory.stat":              "",
		}, (100 - 64) * mib},
		"version 1": {map[string]string{
			"proc/meminfo": plenty, "proc/42/cgroup": "9:cpu:/\n4:memory:/a\n0::/\n",
			"cgroup/memory/a/memory.limit_in_bytes": "209715200\n",
			"cgroup/memory/a/memory.usage_in_bytes": "104857600\n",
			"cgroup/memory/a/memory.stat":           "inactive_file 1\ntotal_inactive_file 1048576\ntotal_active_file 1048576\n",
			"cgroup/memory/memory.limit_in_bytes":   "9223372036854771712\n",
			"cgroup/memory/memory.usage_in_bytes":   "1\n",
			"cgroup/memory/memory.stat":             "",
		}, (200 - 100 + 2 - 64) * mib},
		"a group out of sight": {map[string]string{
			"proc/meminfo": "MemAvailable: 102400 kB\n", "proc/42/cgroup": "0::/../../elsewhere\n",
		}, 36 * mib},
	} {
		proc, cgroups := kernel(t, c.files)
		if err := pagecache.Room(proc, cgroups, c.fits); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := pagecache.Room(proc, cgroups, c.fits+1); !errors.Is(err, pagecache.ErrNoMemory) {
			t.Errorf("%s: one byte more: got %v", name, err)
		}
	}
}

func TestRoom_SaysWhichLimitToRaise(t *testing.T) {
	t.Parallel()
	proc, cgroups := kernel(t, map[string]string{
		"proc/meminfo": plenty, "proc/42/cgroup": "0::/a\n",
		"cgroup/a/memory.max": "1048576\n", "cgroup/a/memory.current": "1048576\n", "cgroup/a/memory.stat": "",
	})
	wantError(t, pagecache.Room(proc, cgroups, 1), "not enough memory: "+cgroups+"/a/memory.max is 1 MiB, of which 0 MiB are free", "MemoryMax=")

	for name, files := range map[string]map[string]string{
		"MemAvailable": {"proc/meminfo": "MemTotal: 1 kB\n", "proc/42/cgroup": ""},
		"memory.max":   {"proc/meminfo": plenty, "proc/42/cgroup": "0::/a\n", "cgroup/a/memory.max": "much\n"},
	} {
		proc, cgroups := kernel(t, files)
		wantError(t, pagecache.Room(proc, cgroups, 1), "look for memory", name)
	}
}
