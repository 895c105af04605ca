//go:build linux

package netns

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace that lives as long as its file is open, or
// a process or a socket is in it (network_namespaces(7)).
type namespace struct {
	file *os.File
	link *netlink.Handle // acts in the namespace
}

// newNamespace makes a namespace with nothing but the loopback device, up.
func newNamespace() (namespace, error) {
	var ns namespace
	err := onThread(func() error {
		handle, err := netns.New()
		if err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		ns.file = os.NewFile(uintptr(handle), "netns")
		return nil
	})
	if err != nil {
		return namespace{}, err
	}
	if ns.link, err = netlink.NewHandleAt(netns.NsHandle(ns.fd()), unix.NETLINK_ROUTE); err != nil {
		_ = ns.file.Close()
		return namespace{}, fmt.Errorf("enter a network namespace: %w", err)
	}
	lo, err := ns.link.LinkByName("lo")
	if err == nil {
		err = ns.link.LinkSetUp(lo)
	}
	if err != nil {
		_ = ns.close()
		return namespace{}, fmt.Errorf("set up the loopback device: %w", err)
	}
	return ns, nil
}

func (ns *namespace) fd() int { return int(ns.file.Fd()) }

// path names the namespace for other processes.
func (ns *namespace) path() string {
	return filepath.Join("/proc", strconv.Itoa(os.Getpid()), "fd", strconv.Itoa(ns.fd()))
}

// do runs f on a thread that is in the namespace.
func (ns *namespace) do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(netns.NsHandle(ns.fd())); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return f()
	})
}

// close lets go of the namespace. It may be called again, and on the zero
// value.
func (ns *namespace) close() error {
	if ns.file == nil {
		return nil
	}
	if ns.link != nil {
		ns.link.Close()
	}
	err := ns.file.Close()
	ns.file, ns.link = nil, nil
	if err != nil {
		return fmt.Errorf("close a network namespace: %w", err)
	}
	return nil
}

// onThread runs f on a thread of its own, which may change its namespace: it
// is put back afterwards. A thread that can't be put back ends.
//
// Usually no thread ends, as that would send Pdeathsig to the processes that
// it has started.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("open this thread's network namespace: %w", err)
			return
		}
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		_ = home.Close()
		done <- err
	}()
	return <-done
}
