package sequential

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
)

// maxUnits bounds what an OnsetJackknife leaves out in turn.
const maxUnits = 32

// OnsetJackknife is the e-process of Onset with the experiment's nodes as its
// units. Its state is bounded: the first 32 nodes are units of their own, and a
// further one joins the unit that its name's hash points at, so that some are left
// out together. That is as valid, since what is left out does not depend on what the
// nodes show.
type OnsetJackknife struct {
	All *Onset `json:"all"`
	// Without has the process that does not see a unit, for every unit that was
	// ever seen, by the name of its first node.
	Without map[string]*Onset `json:"without,omitempty"`
}

// NewOnsetJackknife returns the e-process before any look.
func NewOnsetJackknife() *OnsetJackknife {
	return &OnsetJackknife{All: NewOnset(), Without: make(map[string]*Onset)}
}

// Observe takes in one look at the nodes of both sides, which may come and go. The
// hypothesis is a ratio of at most grace times null, the noise is that of one node:
// every process has its own, by the nodes that it sees.
func (j *OnsetJackknife) Observe(experiment, control Pool, null, grace float64, noise Noise) error {
	if err := errors.Join(experiment.check(), control.check(), checkNull(null, grace)); err != nil {
		return err
	}
	all, of := Look{Experiment: experiment.Sum(), Control: control.Sum()}, control.weight()
	if err := all.check(); err != nil {
		return err
	}
	type part struct {
		Sample
		weight
	}
	var whole weight
	units := make(map[*Onset]part, len(experiment))
	for _, node := range experiment {
		process := j.without(node.Name)
		unit := units[process]
		unit.Bad += node.Bad
		unit.Total += node.Total
		unit.add(node.Total)
		units[process] = unit
		whole.add(node.Total)
	}
	for _, process := range j.Without {
		left := units[process]
		rest := all
		rest.Experiment.Bad = max(0, all.Experiment.Bad-left.Bad)
		rest.Experiment.Total = max(rest.Experiment.Bad, all.Experiment.Total-left.Total)
		if err := process.Observe(rest, null, grace, noise.between(whole.without(left.weight), of)); err != nil {
			return err
		}
	}
	return j.All.Observe(all, null, grace, noise.between(whole, of))
}

// without returns the process that leaves a node out. For a new node it begins
// where that of all is, which until now saw all there was; it must be asked for
// before that one takes in the look.
func (j *OnsetJackknife) without(node string) *Onset {
	process, ok := j.Without[node]
	switch {
	case ok:
	case len(j.Without) < maxUnits:
		process = j.All.clone()
		j.Without[node] = process
	default:
		hash := fnv.New32a()
		hash.Write([]byte(node))
		process = j.Without[slices.Sorted(maps.Keys(j.Without))[hash.Sum32()%maxUnits]]
	}
	return process
}

// LogE returns log E, and the unit whose absence keeps it low: "" if none does. It is
// the least of the log E of all and of each process that leaves a unit out, the latter
// one and a half times where they are positive. So it never is above that of all:
// between pools that are alike, the alarm at 1/α is false with a probability of at
// most α. That a pool with one bad unit, and nothing else, is alarmed at has one of at
// most α^(2/3). To ask for α there too would cost every true alarm up to three times its
// time, since the unit that is left out is the one that shows the most; and measured,
// with one of four nodes five times as bad, it stays below α.
//
// With fewer than two units, nothing can be left out, a bad node can't be told from a
// bad release, and LogE is that of all.
func (j *OnsetJackknife) LogE() (float64, string) {
	least, without := j.All.LogE, ""
	if len(j.Without) < 2 {
		return least, without
	}
	for unit, process := range j.Without {
		logE := process.LogE + max(0, process.LogE)/2
		if logE < least || logE == least && without != "" && unit < without {
			least, without = logE, unit
		}
	}
	return least, without
}

// UnmarshalJSON reads the state and refuses one that no OnsetJackknife wrote.
func (j *OnsetJackknife) UnmarshalJSON(data []byte) error {
	type plain OnsetJackknife
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if p.All == nil || len(p.All.Stakes) == 0 {
		return errors.New("onset: all is missing")
	}
	if len(p.Without) > maxUnits {
		return fmt.Errorf("onset: without must have at most %d units, got %d", maxUnits, len(p.Without))
	}
	for unit, process := range p.Without {
		if process == nil || len(process.Stakes) == 0 {
			return fmt.Errorf("onset: without %q is empty", unit)
		}
	}
	if p.Without == nil {
		p.Without = make(map[string]*Onset)
	}
	*j = OnsetJackknife(p)
	return nil
}
