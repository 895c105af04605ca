//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many packets go through one system call.
	batchSize = 32
	// maxAnswer is the longest answer that is taken.
	maxAnswer = 1500
	// sockBuffer is asked for in both directions, so that the sender's own
	// socket loses nothing.
	sockBuffer = 4 << 20
)

// batch is a UDP socket that sends and receives many packets a system call
// and never waits. (sendmmsg(2), recvmmsg(2).)
type batch struct {
	fd      int
	in, out [batchSize]mmsg
	vectors [2 * batchSize]unix.Iovec
	buffers [2 * batchSize][maxAnswer]byte
	queued  int
}

// mmsg is struct mmsghdr.
type mmsg struct {
	unix.Msghdr

	n uint32
	_ [4]byte
}

func newBatch(server netip.AddrPort) (*batch, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	b := &batch{fd: fd}
	for _, option := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, sockBuffer) // root's; else the limit holds
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()}); err != nil {
		b.close()
		return nil, fmt.Errorf("connect to %s: %w", server, err)
	}
	for i := range b.vectors {
		b.vectors[i].Base = &b.buffers[i][0]
	}
	for i := range b.in {
		b.vectors[i].SetLen(maxAnswer)
		b.in[i].Iov, b.out[i].Iov = &b.vectors[i], &b.vectors[batchSize+i]
		b.in[i].SetIovlen(1)
		b.out[i].SetIovlen(1)
	}
	return b, nil
}

func (b *batch) close() { _ = unix.Close(b.fd) }

// queue takes a packet for the next flush, with its identifier. It tells
// whether there was room.
func (b *batch) queue(packet []byte, id uint16) bool {
	if b.queued == batchSize {
		return false
	}
	at := batchSize + b.queued
	copy(b.buffers[at][:], packet)
	b.buffers[at][0], b.buffers[at][1] = byte(id>>8), byte(id)
	b.vectors[at].SetLen(len(packet))
	b.queued++
	return true
}

// flush sends what was queued.
func (b *batch) flush() error {
	for sent := 0; sent < b.queued; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.out[sent])), uintptr(b.queued-sent), 0, 0, 0)
		switch errno {
		case 0:
			sent += int(n)
		case unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
		default:
			return fmt.Errorf("send: %w", errno)
		}
	}
	b.queued = 0
	return nil
}

// receive calls f with what has come; f must not keep it.
func (b *batch) receive(f func(packet []byte)) error {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.in[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR:
		return nil
	default:
		return fmt.Errorf("receive: %w", errno)
	}
	for i := range int(n) {
		f(b.buffers[i][:b.in[i].n])
	}
	return nil
}
