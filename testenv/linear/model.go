package linear

import (
	"fmt"
	"maps"
	"slices"

	"github.com/anishathalye/porcupine"
)

// kind is what an operation does.
type kind int

const (
	read    kind = iota // consistent, of one key
	write               // by compare-and-set; without a value, it deletes
	check               // the key was found to have the expected index
	differs             // the key was found to have another index than the expected one
	acquire             // of the driver's lease
)

// step is one operation with its outcome.
type step struct {
	what    kind
	key     string
	expect  uint64 // the index that a write or a check is held to
	index   uint64 // as it was read or written
	value   string
	session string // that takes the lease, or must hold it; "" for an operator's write
	unknown bool   // nobody knows whether it was done
}

// state is a key, and the session that holds the lease.
type state struct {
	holder string
	value  string
	index  uint64
	// fresh tells that the index is not known: the value was written by
	// someone who never learnt it.
	fresh bool
}

// at tells whether the key may have an index, and the state in which it does.
func (s state) at(index uint64) (bool, state) {
	if s.fresh && index > s.index {
		s.index, s.fresh = index, false
		return true, s
	}
	return !s.fresh && s.index == index, s
}

// next tells whether an operation is possible in a state, and what follows.
//
// A lease can end by itself at any time, which nobody says. So somebody else's
// acquisition is always possible, but nothing may be written any more by whoever
// held it before.
func (s state) next(o step) (bool, state) {
	switch o.what {
	case acquire:
		s.holder = o.session
		return true, s
	case read:
		if o.value != s.value {
			return false, s
		}
		return s.at(o.index)
	case check:
		return s.at(o.expect)
	case differs:
		found, _ := s.at(o.expect)
		return !found || s.fresh, s
	case write:
		found, then := s.at(o.expect)
		allowed := found && (o.session == "" || o.session == s.holder)
		switch {
		case !allowed:
			return o.unknown, s // then it was not done
		case o.unknown:
			then.value, then.fresh = o.value, true
		default:
			then.value, then.index, then.fresh = o.value, o.index, false
		}
		return true, then
	default:
		return false, s
	}
}

// model is the sequential specification.
func model() porcupine.Model {
	return porcupine.Model{
		Partition: partition,
		Init:      func() any { return state{} },
		Step: func(s, input, _ any) (bool, any) {
			return s.(state).next(input.(step))
		},
		DescribeOperation: func(input, _ any) string { return input.(step).String() },
		DescribeState: func(s any) string {
			now := s.(state)
			return fmt.Sprintf("%d under %.8s: %.60s", now.index, now.holder, now.value)
		},
	}
}

// partition gives each key a history of its own, with the lease in each.
func partition(history []porcupine.Operation) [][]porcupine.Operation {
	var leases []porcupine.Operation
	byKey := make(map[string][]porcupine.Operation)
	for _, o := range history {
		if s := o.Input.(step); s.what == acquire {
			leases = append(leases, o)
		} else {
			byKey[s.key] = append(byKey[s.key], o)
		}
	}
	var parts [][]porcupine.Operation
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		parts = append(parts, append(byKey[key], leases...))
	}
	return parts
}

// String says the operation in a few words.
func (o step) String() string {
	text := map[kind]string{
		read:    fmt.Sprintf("read %d", o.index),
		write:   fmt.Sprintf("write %d over %d under %.8s", o.index, o.expect, o.session),
		check:   fmt.Sprintf("found %d", o.expect),
		differs: fmt.Sprintf("refused, not %d", o.expect),
		acquire: fmt.Sprintf("lease to %.8s", o.session),
	}[o.what]
	if o.unknown {
		text += " (?)"
	}
	return text
}
