package rrl

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"
)

// tick is the unit of time in a bucket. As many as its bits can count are
// almost thirteen days, around which differences wrap.
const tick = time.Microsecond

// bucket is how far one kind of replies to one prefix has come, in one word:
//
//	tag:20  slipped:4  full:40
//
// full is when all credit will be back (GCRA, as in ITU-T I.371). That is in
// the past for who asks rarely; each reply moves it ahead by its cost. Replies
// go out while it is within a second from now. Those that don't go out count
// too, up to the window: a flood, even one at twice the rate, gets nothing
// until it ends. A full that is further ahead than any could be is from before
// the clock was set, or from days ago: it counts as past.
//
// slipped counts, modulo the slip, replies that didn't go out. tag is never 0,
// so that a bucket never used matches nothing.
type bucket uint64

const (
	fullBits = 40
	slipBits = 4
	tagShift = fullBits + slipBits
)

func newBucket(tag, slipped uint64, full int64) bucket {
	return bucket(tag<<tagShift | slipped<<fullBits | uint64(full)&(1<<fullBits-1))
}

func (b bucket) tag() uint64     { return uint64(b) >> tagShift }
func (b bucket) slipped() uint64 { return uint64(b) >> fullBits & (1<<slipBits - 1) }

// late is by how many ticks a caller's now may be behind another's, who was
// faster.
const late = int64(time.Second / tick)

// ahead is by how many ticks the bucket is ahead of now; 0 if it isn't.
func (b bucket) ahead(now, most int64) int64 {
	d := (int64(b) - now) << (64 - fullBits) >> (64 - fullBits)
	if d < 0 || d > most+late {
		return 0
	}
	return min(d, most)
}

// ways is how many buckets a key may have: as many as a cache line has, so
// that looking for one costs one miss.
const ways = 8

// table keeps buckets in sets.
type table []set

type set [ways]atomic.Uint64

func newTable(buckets int) table {
	sets := max((buckets+ways-1)/ways, 1)
	return make(table, 1<<bits.Len(uint(sets-1)))
}

// key names a bucket by a hash that nobody outside can predict.
func (l *Limiter) key(client netip.Addr, kind Kind, hash uint32) uint64 {
	var buf [14]byte
	if client.Is4() {
		addr := client.As4()
		v := binary.BigEndian.Uint32(addr[:])
		binary.BigEndian.PutUint32(buf[:], v>>(32-l.prefix4)<<(32-l.prefix4))
		buf[8] = 4
	} else {
		addr := client.As16()
		v := binary.BigEndian.Uint64(addr[:])
		binary.BigEndian.PutUint64(buf[:], v>>(64-l.prefix6)<<(64-l.prefix6))
		buf[8] = 6
	}
	buf[9] = byte(kind)
	if kind == Answer {
		binary.BigEndian.PutUint32(buf[10:], hash)
	}
	return maphash.Bytes(l.seed, buf[:])
}

// charge counts a reply in the bucket of a key.
func (l *Limiter) charge(key uint64, now int64) Verdict {
	tag := max(key>>tagShift, 1)
	set := &l.table[key&uint64(len(l.table)-1)]
	for {
		slot, old := set.find(tag, now, l.debt)
		next, verdict := l.step(old, tag, now)
		if slot.CompareAndSwap(uint64(old), uint64(next)) {
			return verdict
		}
	}
}

// step is what a reply makes of a bucket.
func (l *Limiter) step(b bucket, tag uint64, now int64) (bucket, Verdict) {
	var ahead int64
	var slipped uint64
	if b.tag() == tag {
		ahead, slipped = b.ahead(now, l.debt), b.slipped()
	}
	ahead += l.cost
	if ahead <= l.burst {
		return newBucket(tag, 0, now+ahead), Send
	}
	ahead = min(ahead, l.debt)
	verdict := Drop
	if l.slip > 0 {
		if slipped == 0 {
			verdict = Slip
		}
		slipped = (slipped + 1) % l.slip
	}
	return newBucket(tag, slipped, now+ahead), verdict
}

// find returns the bucket with a tag, or else the one that is least ahead: who
// floods is the last to be forgotten.
func (s *set) find(tag uint64, now, most int64) (*atomic.Uint64, bucket) {
	var (
		least *atomic.Uint64
		found bucket
		ahead int64
	)
	for i := range s {
		b := bucket(s[i].Load())
		if b.tag() == tag {
			return &s[i], b
		}
		if d := b.ahead(now, most); least == nil || d < ahead {
			least, found, ahead = &s[i], b, d
		}
	}
	return least, found
}
