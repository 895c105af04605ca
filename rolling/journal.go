package rolling

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"switchd/durable"
	"switchd/runner"
	"switchd/spec"
)

// Journal is what an agent knows of its own node, on disk: enough to go on
// after a kill at any instruction, and to run the last good versions without
// Consul.
type Journal struct {
	path string

	mu    sync.Mutex
	state journalState
}

type journalState struct {
	Node    string          `json:"node"`
	Session string          `json:"session,omitempty"`
	Units   map[string]Unit `json:"units"` // by service-pool
	// Held is what was made ready for a unit and has to be given up again.
	Held map[string][]Held `json:"held,omitempty"`
}

// Held is a version that was made ready to run, with the desired state that
// this was done for: the runtime has staged it, and files of it may be in
// memory.
type Held struct {
	Run     Run          `json:"run"`
	Service spec.Service `json:"service"`
	Pool    string       `json:"pool"`
}

// Unit is one service in one pool on this node.
type Unit struct {
	Name string `json:"name"` // of the service
	Pool string `json:"pool"`
	// Service is the desired state that Running was started with.
	Service spec.Service `json:"service"`
	// Running is the last good version, which is what this node falls back
	// to.
	Running *Run `json:"running,omitempty"`
	// Move is the replacement that is under way.
	Move *Move `json:"move,omitempty"`
	// Maintained tells that this agent has put the instance into Consul's
	// maintenance mode and not taken it out yet.
	Maintained bool `json:"maintained,omitempty"`
	// Refused is the last version that failed on this node; it is not tried
	// again for the same reason.
	Refused *Refusal `json:"refused,omitempty"`
	// Waits is what the unit waits for, where no engine is told.
	Waits string `json:"waits,omitempty"`
}

// Run is a version with the process that runs it.
type Run struct {
	Version string        `json:"version"`
	Release string        `json:"release"` // SHA-256 of its artifact
	Dir     string        `json:"dir"`
	Handle  runner.Handle `json:"handle,omitempty"`
}

// same tells whether two are the same release in the same place, whatever runs
// them.
func (r Run) same(o Run) bool {
	return r.Version == o.Version && r.Release == o.Release && r.Dir == o.Dir
}

// Move is a replacement under way.
type Move struct {
	Reason  string       `json:"reason"` // of the Want
	Service spec.Service `json:"service"`
	To      Run          `json:"to"`
	// Leave tells that nothing follows what is stopped: the node is not one of
	// the pool's any more.
	Leave bool   `json:"leave,omitempty"`
	Slot  string `json:"slot"` // the key that is held
	Step  Step   `json:"step"`
	// Deadline is when the new version must be healthy.
	Deadline time.Time `json:"deadline,omitzero"`
}

// why says for people what the replacement is for.
func (m Move) why() string {
	if m.Leave {
		return "the node leaves the pool"
	}
	return "replaced by " + m.To.Version
}

// wish is what is not wanted when the replacement isn't.
func (m Move) wish() string {
	if m.Leave {
		return "to leave the pool is not wanted"
	}
	return "version " + m.To.Version + " is not wanted"
}

// Step is how far a replacement is.
type Step string

// The steps, in their order. Each is written before it is done.
const (
	Stopping  Step = "stopping"
	Starting  Step = "starting"
	Proving   Step = "proving"   // started, not yet healthy for long enough
	Restoring Step = "restoring" // the former version is being put back
)

// Refusal is a version that failed on this node.
type Refusal struct {
	Reason string `json:"reason"`
	Why    string `json:"why"`
}

// maxJournal bounds what is read.
const maxJournal = 16 << 20

// OpenJournal reads the journal of a data directory, or begins one. A journal
// that can't be read is set aside with an error that says so; the second
// result is then an empty journal that can be used.
func OpenJournal(dir, node string) (*Journal, error) {
	j := &Journal{path: filepath.Join(dir, "journal.json"), state: journalState{Node: node, Units: map[string]Unit{}}}
	state, err := readJournal(j.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return j, nil
	case err != nil:
		aside := j.path + ".corrupt"
		if renameErr := os.Rename(j.path, aside); renameErr != nil {
			return j, fmt.Errorf("set the unreadable journal aside: %w", renameErr)
		}
		return j, fmt.Errorf("the journal %s could not be read (%w); it is kept as %s and begun anew", j.path, err, aside)
	case state.Node != node:
		return nil, fmt.Errorf("the journal %s is of node %q and this is node %q; give each node a data directory of its own", j.path, state.Node, node)
	}
	j.state = state
	return j, nil
}

func readJournal(path string) (journalState, error) {
	var state journalState
	file, err := os.Open(path)
	if err != nil {
		return state, fmt.Errorf("open the journal: %w", err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxJournal+1))
	if err != nil {
		return state, fmt.Errorf("read the journal: %w", err)
	}
	return parseJournal(data)
}

func parseJournal(data []byte) (journalState, error) {
	var state journalState
	if len(data) > maxJournal {
		return state, fmt.Errorf("it is larger than %d bytes", maxJournal)
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return state, fmt.Errorf("parse it: %w", err)
	}
	if state.Node == "" {
		return state, errors.New("it names no node")
	}
	if state.Units == nil {
		state.Units = map[string]Unit{}
	}
	return state, nil
}

// Unit gives a unit's state.
func (j *Journal) Unit(id string) Unit {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.Units[id]
}

// Units gives the state of all units, by their ID.
func (j *Journal) Units() map[string]Unit {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.state.Units)
}

// Session gives the Consul session of the former process.
func (j *Journal) Session() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.Session
}

// SetSession notes the Consul session.
func (j *Journal) SetSession(id string) error {
	return j.update(func(s *journalState) { s.Session = id })
}

// SetUnit notes a unit's state; it is on disk when this returns.
func (j *Journal) SetUnit(id string, u Unit) error {
	return j.update(func(s *journalState) { s.Units[id] = u })
}

// Hold notes that a version is about to be made ready for a unit.
func (j *Journal) Hold(id string, h Held) error {
	return j.update(func(s *journalState) {
		if s.Held == nil {
			s.Held = make(map[string][]Held)
		}
		kept := slices.DeleteFunc(slices.Clone(s.Held[id]), func(o Held) bool { return o.Run.same(h.Run) })
		s.Held[id] = append(kept, h)
	})
}

// Unhold notes that nothing is left of what was made ready.
func (j *Journal) Unhold(id string, run Run) error {
	return j.update(func(s *journalState) {
		s.Held[id] = slices.DeleteFunc(slices.Clone(s.Held[id]), func(o Held) bool { return o.Run.same(run) })
		if len(s.Held[id]) == 0 {
			delete(s.Held, id)
		}
	})
}

// Held gives what was made ready for a unit.
func (j *Journal) Held(id string) []Held {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.state.Held[id])
}

// AllHeld gives one of the things that were made ready for each unit.
func (j *Journal) AllHeld() map[string]Held {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make(map[string]Held)
	for id, held := range j.state.Held {
		all[id] = held[0]
	}
	return all
}

// Holds tells whether an unpacked release was made ready and not given up.
func (j *Journal) Holds(dir string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, held := range j.state.Held {
		if slices.ContainsFunc(held, func(h Held) bool { return h.Run.Dir == dir }) {
			return true
		}
	}
	return false
}

// DropUnit forgets a unit.
func (j *Journal) DropUnit(id string) error {
	return j.update(func(s *journalState) { delete(s.Units, id) })
}

func (j *Journal) update(change func(*journalState)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.state)
	data, err := json.Marshal(j.state)
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := durable.Replace(j.path, data); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}
