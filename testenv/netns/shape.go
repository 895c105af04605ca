//go:build linux

package netns

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	// burst is the size of the token bucket in bytes. A frame of the kernel's
	// segmentation offload (64 KiB) must fit in: smaller buckets make tbf cut
	// such frames, which costs CPU. It is 5.6 ms of 100 Mbit/s.
	burst = 68 << 10
	// queueTime bounds how long a frame waits, as the buffers of a switch do.
	queueTime = 50 * time.Millisecond
)

// shape limits what leaves through link to rate, in bits a second (tc-tbf(8)).
// Without a rate it only counts.
func shape(handle *netlink.Handle, link netlink.Link, rate uint64) error {
	attrs := netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index,
		Handle:    netlink.MakeHandle(1, 0),
		Parent:    netlink.HANDLE_ROOT,
	}
	var queue netlink.Qdisc = &netlink.GenericQdisc{QdiscAttrs: attrs, QdiscType: "pfifo"}
	if rate > 0 {
		queue = &netlink.Tbf{
			QdiscAttrs: attrs,
			Rate:       rate / 8,
			Buffer:     netlink.Xmittime(rate/8, burst), // in the kernel's ticks
			Limit:      uint32(burst + float64(rate/8)*queueTime.Seconds()),
		}
	}
	if err := handle.QdiscAdd(queue); err != nil {
		return fmt.Errorf("limit %s to %d bit/s: %w", link.Attrs().Name, rate, err)
	}
	return nil
}

// passed returns how many bytes have left through the named link. The link's
// own counters don't count the headers of frames that the kernel has yet to
// cut; its queue's do.
func passed(handle *netlink.Handle, name string) (uint64, error) {
	if handle == nil {
		return 0, errClosed
	}
	link, err := handle.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", name, err)
	}
	queues, err := handle.QdiscList(link)
	if err != nil {
		return 0, fmt.Errorf("read the queue of %s: %w", name, err)
	}
	for _, q := range queues {
		if s := q.Attrs().Statistics; s != nil && s.Basic != nil {
			return s.Basic.Bytes, nil
		}
	}
	return 0, fmt.Errorf("read the queue of %s: it has no counters", name)
}
