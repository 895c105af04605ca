package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Memory is what was told of a service, as Consul keeps it, so that another
// replica goes on telling.
type Memory struct {
	Told []Told `json:"told"` // the newest last
}

// Told is a notice that was delivered.
type Told struct {
	Key

	At time.Time `json:"at"` // the last time
	// Missed tells that it could not be delivered, and was given up.
	Missed bool `json:"missed,omitempty"`
}

// maxTold bounds a memory: it is a rollout's notices to some names.
const maxTold = 200

// ParseMemory reads a memory; an empty value is an empty one.
func ParseMemory(value []byte) (Memory, error) {
	var m Memory
	if len(value) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(value, &m); err != nil {
		return Memory{}, fmt.Errorf("parse what was told: %w", err)
	}
	return m, nil
}

// Of is when a notice was told, false if it was not.
func (m Memory) Of(k Key) (Told, bool) {
	for _, t := range slices.Backward(m.Told) {
		if t.same(k) {
			return t, true
		}
	}
	return Told{}, false
}

func (k Key) same(o Key) bool {
	return k.Rollout == o.Rollout && k.Event == o.Event && k.About == o.About && k.To == o.To && k.Since.Equal(o.Since)
}

// Note is the memory with one more notice. The oldest ones go when it is full.
func (m Memory) Note(t Told) Memory {
	told := slices.DeleteFunc(slices.Clone(m.Told), func(o Told) bool { return o.same(t.Key) })
	told = append(told, t)
	return Memory{Told: told[max(len(told)-maxTold, 0):]}
}

// Rollout is the rollout that something was told of last, "" if nothing was.
func (m Memory) Rollout() string {
	if len(m.Told) == 0 {
		return ""
	}
	return m.Told[len(m.Told)-1].Rollout
}
