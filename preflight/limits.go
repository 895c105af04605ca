package preflight

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// infinity is RLIM_INFINITY, also systemd's word for no limit.
const infinity = unix.RLIM_INFINITY

// limits are what the kernel allows the agent.
type limits struct {
	whose string // for people, such as "LimitMEMLOCK of switchd-agent.service"
	files uint64 // RLIMIT_NOFILE, the hard one: Go raises the soft one to it
	lock  uint64 // RLIMIT_MEMLOCK, the soft one, in bytes
	// mayLock tells of CAP_IPC_LOCK, with which the limit doesn't count.
	mayLock bool
	// root tells whether the agent may start something as another user.
	root bool
	err  error
}

// limitsOf takes the unit's limits if there is a unit, since somebody's shell
// has others.
func limitsOf(u unit) limits {
	if u.known {
		return u.limits
	}
	l := limits{whose: "this process"}
	var files, lock unix.Rlimit
	if err := errors.Join(unix.Getrlimit(unix.RLIMIT_NOFILE, &files), unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lock)); err != nil {
		l.err = fmt.Errorf("read the limits: %w", err)
		return l
	}
	l.files, l.lock = files.Max, lock.Cur
	held, err := capabilities()
	if err != nil {
		l.err = err
		return l
	}
	l.mayLock = held&(1<<unix.CAP_IPC_LOCK) != 0
	l.root = held&(1<<unix.CAP_SETUID) != 0 && held&(1<<unix.CAP_SETGID) != 0
	return l
}

// capabilities are the effective ones of this process, as bits.
func capabilities() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read the capabilities: %w", err)
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective), nil
}

func openFiles(l limits, need uint64) Finding {
	f := Finding{
		What: "open files", Need: fmt.Sprintf("at least %d", need),
		Fix: fmt.Sprintf("in the [Service] section of the agent's unit: LimitNOFILE=%d", need),
	}
	if l.err != nil {
		return untold(f.What, f.Need, f.Fix, l.err)
	}
	f.Have = fmt.Sprintf("%d (RLIMIT_NOFILE of %s)", l.files, l.whose)
	if l.files == infinity {
		f.Have = fmt.Sprintf("unlimited (RLIMIT_NOFILE of %s)", l.whose)
	}
	if l.files >= need {
		return ok(f.What, f.Have)
	}
	f.Level = Missing
	return f
}

func lockedMemory(l limits, need uint64) Finding {
	f := Finding{
		What: "locked memory", Need: fmt.Sprintf("%s for preload = \"lock\"", bytes(need)),
		Fix: "in the [Service] section of the agent's unit: LimitMEMLOCK=infinity",
	}
	if l.err != nil {
		return untold(f.What, f.Need, f.Fix, l.err)
	}
	f.Have = fmt.Sprintf("%s (RLIMIT_MEMLOCK of %s)", bytes(l.lock), l.whose)
	switch {
	case l.mayLock:
		return ok(f.What, fmt.Sprintf("CAP_IPC_LOCK (of %s)", l.whose))
	case l.lock >= need:
		return ok(f.What, f.Have)
	}
	f.Level = Missing
	return f
}
