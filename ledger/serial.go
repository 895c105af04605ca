package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"switchd/consul"
)

// ParseSerial reads the zone's serial; 0 for an empty value.
func ParseSerial(value []byte) (uint32, error) {
	if len(value) == 0 {
		return 0, nil
	}
	serial, err := strconv.ParseUint(string(value), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("the zone's serial is %.20q, expected a number of 32 bits", value)
	}
	return uint32(serial), nil
}

// NextSerial is the serial after old: the time where that is ahead in the
// order of RFC 1982 section 3.2, so that it means something to people, and one
// more otherwise. It is never zero, which some secondaries take for none, and
// neither is old: a zone that no change has given a serial yet is at 1.
func NextSerial(old uint32, now time.Time) uint32 {
	old = max(old, 1)
	if unix := max(uint32(now.Unix()), 1); int32(unix-old) > 0 {
		return unix
	}
	return max(old+1, 1)
}

// serialOp moves the zone's serial on.
func (l *Ledger) serialOp(ctx context.Context) (consul.Op, error) {
	entry, old, err := l.serial(ctx)
	if err != nil {
		return consul.Op{}, err
	}
	return consul.CAS(entry.Key, writeSerial(NextSerial(old, time.Now())), entry.Index), nil
}

// MoveSerialPast moves the zone's serial past one that is served already, if it
// is behind that.
func (l *Ledger) MoveSerialPast(ctx context.Context, served uint32) error {
	entry, old, err := l.serial(ctx)
	if err != nil || int32(served-old) <= 0 {
		return err
	}
	return l.Consul.Txn(ctx, "move the serial", consul.CAS(entry.Key, writeSerial(NextSerial(served, time.Now())), entry.Index))
}

func (l *Ledger) serial(ctx context.Context) (consul.Entry, uint32, error) {
	entry, err := l.Consul.Get(ctx, l.Keys.Serial())
	if err != nil {
		return entry, 0, err
	}
	serial, err := ParseSerial(entry.Value)
	if err != nil {
		return entry, 0, fmt.Errorf("parse %s in Consul: %w", entry.Key, err)
	}
	return entry, serial, nil
}

func writeSerial(serial uint32) []byte { return strconv.AppendUint(nil, uint64(serial), 10) }
