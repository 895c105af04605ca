package runner

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signal returns the signal that StopSignal names, SIGTERM when it is empty.
func (i Instance) Signal() (syscall.Signal, error) {
	if i.StopSignal == "" {
		return unix.SIGTERM, nil
	}
	if sig := unix.SignalNum(i.StopSignal); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("stop signal %q is unknown: use a name such as SIGTERM or SIGINT", i.StopSignal)
}
