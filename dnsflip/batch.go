package dnsflip

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many packets are received, and sent, by one call.
	batchSize = 32
	// maxPacket is the longest query by UDP. Nobody sends longer ones; they
	// would be cut off, and are malformed then.
	maxPacket = 4096
	// controlSize is room for the control messages of both families.
	controlSize = 128
)

// mmsghdr is the kernel's mmsghdr.
type mmsghdr struct {
	unix.Msghdr

	length uint32
	_      [unsafe.Sizeof(uintptr(0)) - 4]byte
}

// batch receives packets and sends the replies, several by one system call:
// recvmmsg(2), sendmmsg(2). Its memory is taken once.
type batch struct {
	socket *packets

	in, out  [batchSize]mmsghdr
	received int
	count    int // of replies
	sent     int
	lost     int // replies that could not be sent
	errno    unix.Errno
	// The calls, made once so that they take no memory each time.
	readable, writable func(fd uintptr) bool

	names   [batchSize]unix.RawSockaddrInet6
	inIov   [batchSize]unix.Iovec
	outIov  [batchSize]unix.Iovec
	control [batchSize][controlSize]byte
	packets [batchSize][maxPacket]byte
	replies [batchSize][]byte
}

func newBatch(p *packets) *batch {
	b := &batch{socket: p}
	for i := range batchSize {
		b.inIov[i].Base = &b.packets[i][0]
		b.inIov[i].SetLen(maxPacket)
		b.replies[i] = make([]byte, 0, maxUDP)
	}
	b.readable = func(fd uintptr) bool {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.in)), batchSize, unix.MSG_DONTWAIT, 0, 0)
		b.received, b.errno = int(n), errno
		return errno != unix.EAGAIN
	}
	b.writable = func(fd uintptr) bool {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.out[b.sent])), uintptr(b.count-b.sent), unix.MSG_DONTWAIT, 0, 0)
		b.errno = errno
		if errno == 0 {
			b.sent += int(n)
		}
		// What there is no room for is lost, as on any way that is full: who
		// waits here would hold up a publish. The client asks again.
		return true
	}
	return b
}

// receive waits for packets and returns how many came.
func (b *batch) receive() (int, error) {
	used := batchSize
	if b.received > 0 {
		used = b.received // the others are as they were
	}
	for i := range used {
		h := &b.in[i]
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.names[i])), unix.SizeofSockaddrInet6
		h.Iov = &b.inIov[i]
		h.SetIovlen(1)
		if b.socket.any {
			h.Control = &b.control[i][0]
			h.SetControllen(controlSize)
		}
	}
	b.count, b.sent, b.lost, b.received = 0, 0, 0, 0
	if err := b.socket.raw.Read(b.readable); err != nil {
		return 0, err
	}
	if b.errno != 0 {
		b.received = 0
		return 0, b.errno
	}
	return b.received, nil
}

// packet returns a packet that was received, and who sent it.
func (b *batch) packet(i int) ([]byte, netip.Addr) {
	return b.packets[i][:b.in[i].length], clientOf(&b.names[i])
}

// room is memory for the reply to a packet.
func (b *batch) room(i int) []byte { return b.replies[i][:0] }

// put adds the reply to a packet, if there is one.
func (b *batch) put(i int, reply []byte) {
	if len(reply) == 0 {
		return
	}
	b.replies[i] = reply // a long one may have got other memory
	h, iov := &b.out[b.count], &b.outIov[b.count]
	iov.Base = &reply[0]
	iov.SetLen(len(reply))
	h.Name, h.Namelen = b.in[i].Name, b.in[i].Namelen
	h.Iov = iov
	h.SetIovlen(1)
	if b.socket.any {
		n := b.in[i].Controllen
		source(b.control[i][:n])
		h.Control, h.Controllen = &b.control[i][0], n
	}
	b.count++
}

// send sends the replies. One that can't be sent doesn't hold up the others;
// the error is the first. Where there is no room for more, the rest is lost.
func (b *batch) send() error {
	var first error
	for b.sent < b.count {
		if err := b.socket.raw.Write(b.writable); err != nil {
			return errors.Join(first, err)
		}
		if b.errno == 0 {
			continue
		}
		b.lost++
		if first == nil {
			first = b.errno
		}
		if b.errno == unix.EAGAIN {
			b.lost += b.count - b.sent - 1
			return first
		}
		b.sent++
	}
	return first
}

// nativeBytes are the bytes of a number as it stands in memory.
func nativeBytes(n uint32) (b [4]byte) {
	binary.NativeEndian.PutUint32(b[:], n)
	return b
}
