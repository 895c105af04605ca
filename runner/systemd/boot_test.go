package systemd_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// bootVar makes the test binary the first process of a machine of its own,
// whose /run is the directory that it names. It becomes systemd.
const bootVar = "SYSTEMD_TEST_BOOT"

// booted is the systemd that all tests use.
var booted = sync.OnceValues(boot)

func TestMain(m *testing.M) {
	if dir := os.Getenv(bootVar); dir != "" {
		fmt.Fprintln(os.Stderr, becomeSystemd(dir))
		os.Exit(1)
	}
	if os.Getenv(agentVar) != "" {
		if err := actAsAgent(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"), goleak.Cleanup(func(code int) {
		if m, err := booted(); err == nil {
			if err := m.halt(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
		os.Exit(code)
	}))
}

// machine is a systemd with namespaces and a control group of its own. It
// shares the files with the tests, except /run.
type machine struct {
	dir    string
	cgroup string
	ended  <-chan error
	kill   func() error
	pid    int
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m, err := booted()
	if err != nil {
		t.Fatalf("boot systemd: %v; this needs root with CAP_SYS_ADMIN, a control group v2 that can be written to, and Debian's packages systemd and dbus", err)
	}
	return m
}

func (m *machine) bus() string { return "unix:path=" + m.run("dbus", "system_bus_socket") }

func (m *machine) run(path ...string) string {
	return filepath.Join(append([]string{m.dir, "run"}, path...)...)
}

// units are all that this systemd knows, besides what the tests write.
func units() map[string]string {
	return map[string]string{
		"default.target": "[Unit]\nRequires=dbus.service\n",
		// What services have as dependencies by default.
		"sysinit.target":  "[Unit]\n",
		"basic.target":    "[Unit]\n",
		"shutdown.target": "[Unit]\nDefaultDependencies=no\n",
		"dbus.socket":     "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n",
		"dbus.service": `[Unit]
DefaultDependencies=no
Requires=dbus.socket
[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
`,
	}
}

func boot() (*machine, error) {
	dir, err := os.MkdirTemp("", "switchd-systemd-")
	if err != nil {
		return nil, err
	}
	m := &machine{dir: dir}
	if err := m.boot(); err != nil {
		return nil, errors.Join(err, m.halt())
	}
	return m, nil
}

func (m *machine) boot() error {
	for _, path := range []string{m.dir, m.run(), m.run("systemd", "system"), filepath.Join(m.dir, "units")} {
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, 0o755)); err != nil {
			return err
		}
	}
	for name, text := range units() {
		if err := os.WriteFile(filepath.Join(m.dir, "units", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	root, err := cgroupRoot()
	if err != nil {
		return err
	}
	m.cgroup = filepath.Join(root, filepath.Base(m.dir))
	if err := os.Mkdir(m.cgroup, 0o755); err != nil {
		return err
	}
	group, err := os.Open(m.cgroup)
	if err != nil {
		return err
	}
	defer group.Close() //nolint:errcheck // Opened for reading.
	console, err := os.Create(filepath.Join(m.dir, "console"))
	if err != nil {
		return err
	}
	defer console.Close() //nolint:errcheck // Nothing was written through it.

	cmd := exec.Command(os.Args[0]) //nolint:noctx // Ended by halt.
	cmd.Env = []string{bootVar + "=" + m.dir}
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET,
		UseCgroupFD: true,
		CgroupFD:    int(group.Fd()),
		Pdeathsig:   unix.SIGKILL,
	}
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		// The death signal is sent when the thread that has started it ends.
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		ended <- cmd.Wait()
	}()
	if err := <-started; err != nil {
		return err
	}
	m.ended, m.kill, m.pid = ended, cmd.Process.Kill, cmd.Process.Pid
	return m.ready()
}

// ready waits until systemd answers on its bus.
func (m *machine) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		out, err := exec.CommandContext(ctx, "busctl", "--address="+m.bus(), "get-property", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "SystemState").CombinedOutput()
		if err == nil && strings.Contains(string(out), "running") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it is not up: %s; its console: %s", out, m.console())
		case err := <-m.ended:
			m.kill = nil
			return fmt.Errorf("it ended: %w; its console: %s", err, m.console())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (m *machine) console() []byte {
	text, err := os.ReadFile(filepath.Join(m.dir, "console"))
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

func (m *machine) halt() error {
	var err error
	if m.kill != nil {
		err = m.kill()
		<-m.ended //nolint:errcheck // Its status is that of the signal.
	}
	if m.cgroup != "" {
		err = errors.Join(err, removeGroup(m.cgroup))
	}
	return errors.Join(err, os.RemoveAll(m.dir))
}

// removeGroup removes a control group and those in it, once they are empty.
func removeGroup(root string) error {
	var groups []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	for len(groups) > 0 && err == nil {
		last := groups[len(groups)-1]
		for try := 0; ; try++ {
			if err = unix.Rmdir(last); !errors.Is(err, unix.EBUSY) || try == 500 {
				break
			}
			time.Sleep(10 * time.Millisecond) // The kernel tells no one when it is empty.
		}
		groups = groups[:len(groups)-1]
	}
	return err
}

// cgroupRoot is where control groups v2 are mounted, alone or beside v1.
func cgroupRoot() (string, error) {
	for _, path := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var fs unix.Statfs_t
		if err := unix.Statfs(path, &fs); err == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return path, nil
		}
	}
	return "", errors.New("no control group v2 is mounted in /sys/fs/cgroup")
}

// becomeSystemd returns only if it can't.
func becomeSystemd(dir string) error {
	// The control group's namespace is this thread's, which becomes the process.
	runtime.LockOSThread()
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"unshare the control group", func() error { return unix.Unshare(unix.CLONE_NEWCGROUP) }},
		{"make mounts private", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"mount /proc", func() error { return unix.Mount("proc", "/proc", "proc", 0, "") }},
		{"mount /run", func() error { return unix.Mount(filepath.Join(dir, "run"), "/run", "", unix.MS_BIND, "") }},
		{"unmount control groups", func() error { return unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH) }},
		{"mount the control group", func() error { return unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, "") }},
		{"execute systemd", func() error {
			return unix.Exec("/lib/systemd/systemd", []string{"systemd", "--system", "--unit=default.target", "--log-target=console"}, []string{
				"container=switchd", "PATH=" + path,
				"SYSTEMD_UNIT_PATH=/run/systemd/system:" + filepath.Join(dir, "units"),
				"SYSTEMD_GENERATOR_PATH=" + filepath.Join(dir, "generators"),
			})
		}},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}
