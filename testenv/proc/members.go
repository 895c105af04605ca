//go:build linux

package proc

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// markName is the environment variable with the ids of the groups that a
// program is in, the outermost first, parted by colons.
const markName = "SWITCHD_TESTENV"

// members remembers which processes belong to a group: those that carry its
// mark, and the descendants of members.
type members struct {
	id string
	// known tells for processes of the last update whether they belong.
	known map[identity]bool
}

func newMembers(id string) members {
	return members{id: id, known: map[identity]bool{}}
}

// update looks at all processes and returns the members, zombies included.
func (m *members) update() ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	byPid := make(map[int]process, len(all))
	for _, p := range all {
		byPid[p.pid] = p
	}
	seen := make(map[identity]bool, len(all))
	var found []process
	for _, p := range all {
		if m.belongs(p, byPid, seen) {
			found = append(found, p)
		}
	}
	m.known = seen
	return found, nil
}

// belongs decides about p and notes in seen what is certain. A descendant's
// parents are asked first, so that the order of process ids doesn't matter.
func (m *members) belongs(p process, byPid map[int]process, seen map[identity]bool) bool {
	if yes, ok := seen[p.identity]; ok {
		return yes
	}
	yes, old := m.known[p.identity]
	// Noted before its parents are asked: a list that was read while it
	// changed might hold a circle.
	seen[p.identity] = yes
	if parent, ok := byPid[p.parent]; ok && !yes && p.parent != os.Getpid() {
		yes = m.belongs(parent, byPid, seen)
	}
	certain := true
	if !yes && !old {
		var marks []string
		marks, certain = readMark(p.pid)
		yes = slices.Contains(marks, m.id)
	}
	if seen[p.identity] = yes; !yes && !certain {
		delete(seen, p.identity) // Between fork and exec, or a zombie: ask again.
	}
	return yes
}

// readMark returns the groups that the process's environment names. It is not
// certain while the process has no environment.
func readMark(pid int) (ids []string, certain bool) {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		// Another user's process is never ours.
		return nil, errors.Is(err, os.ErrPermission)
	}
	for variable := range strings.SplitSeq(string(env), "\x00") {
		if value, ok := strings.CutPrefix(variable, markName+"="); ok {
			return strings.Split(value, ":"), true
		}
	}
	return nil, len(env) > 0
}

// signal sends sig to exactly this process, or to none when it is gone.
func (p process) signal(sig unix.Signal) error {
	// The handle is a pidfd: when the process still is the same after the
	// handle was opened, the handle can't mean another.
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return fmt.Errorf("find process %d: %w", p.pid, err)
	}
	defer handle.Release() //nolint:errcheck // It only frees the handle.
	now, err := readProcess(p.pid)
	if err != nil || now.identity != p.identity {
		return nil //nolint:nilerr // It is gone.
	}
	if err := handle.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to process %s: %w", unix.SignalName(sig), p, err)
	}
	return nil
}
