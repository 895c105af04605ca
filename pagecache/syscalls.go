package pagecache

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mincore is mincore(2), which x/sys/unix lacks for Linux. Neither slice may be
// empty.
func mincore(mapped, pages []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE,
		uintptr(unsafe.Pointer(unsafe.SliceData(mapped))), uintptr(len(mapped)),
		uintptr(unsafe.Pointer(unsafe.SliceData(pages))))
	if errno != 0 {
		return errno
	}
	return nil
}

// mlockOnFault is mlock2(2) with MLOCK_ONFAULT, which x/sys/unix lacks: it
// locks what is in memory, and the rest when it comes. The slice may not be
// empty.
func mlockOnFault(mapped []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MLOCK2,
		uintptr(unsafe.Pointer(unsafe.SliceData(mapped))), uintptr(len(mapped)), unix.MLOCK_ONFAULT)
	if errno != 0 {
		return errno
	}
	return nil
}
