package process

import (
	"errors"

	"golang.org/x/sys/unix"
)

// descendants returns the living children of a process, their children and so
// on. With PR_SET_CHILD_SUBREAPER this is everything that was ever forked,
// whatever session it has gone to.
func descendants(of int) ([]stat, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]stat)
	for _, s := range all {
		children[s.parent] = append(children[s.parent], s)
	}
	var found []stat
	for queue := children[of]; len(queue) > 0; queue = queue[1:] {
		if !queue[0].ended() {
			found = append(found, queue[0])
		}
		queue = append(queue, children[queue[0].pid]...)
	}
	return found, nil
}

// signalAll signals each of the family, one by one.
func signalAll(family []stat, sig unix.Signal) error {
	var errs []error
	for _, s := range family {
		errs = append(errs, send(s.pid, s.start, sig))
	}
	return errors.Join(errs...)
}
