package preflight

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// readClock asks the kernel whether something keeps the clock right: STA_UNSYNC
// in adjtimex(2).
func readClock() (synchronised bool, err error) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, fmt.Errorf("ask the kernel: %w", err)
	}
	return t.Status&unix.STA_UNSYNC == 0, nil
}

func clock(synchronised bool, err error) Finding {
	f := Finding{
		What: "clock", Have: "nothing synchronises it", Need: "a time service: deadlines are absolute times that others read",
		Fix: "systemctl enable --now systemd-timesyncd (or install chrony)",
	}
	switch {
	case err != nil:
		return untold(f.What, f.Need, f.Fix, err)
	case synchronised:
		return ok(f.What, "synchronised")
	}
	f.Level = Warning
	return f
}
