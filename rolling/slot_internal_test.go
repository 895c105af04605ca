package rolling

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchd/pools"
)

// pool is a model of one pool whose nodes replace their service, each deciding
// by mayGoDown on what it read, at whatever pace is drawn.
type pool struct {
	quorum, slots int
	least         int // passing nodes that there must always be
	nodes         []string
	runs          map[string]bool // really passing
	done          map[string]bool
	index         uint64
	holders       map[string]uint64   // slots, by node
	foresaw       map[string]bool     // that it could go down if it took a slot
	read          map[string][]holder // what a node read of the slots
	allowed       map[string]bool     // decided to stop, not stopped yet
	down          map[string]bool     // stopped
	lags          map[string]bool     // a stop that the catalog has to notice
}

func newPool(t *rapid.T) *pool {
	p := &pool{
		runs: map[string]bool{}, done: map[string]bool{}, holders: map[string]uint64{},
		foresaw: map[string]bool{}, read: map[string][]holder{}, allowed: map[string]bool{}, down: map[string]bool{}, lags: map[string]bool{},
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "nodes") {
		node := fmt.Sprintf("n%d", i)
		p.nodes = append(p.nodes, node)
		p.runs[node] = rapid.IntRange(0, 3).Draw(t, "passes") > 0
	}
	p.quorum = rapid.IntRange(1, len(p.nodes)).Draw(t, "quorum")
	p.slots = rapid.IntRange(1, len(p.nodes)).Draw(t, "slots")
	p.least = min(p.quorum, p.passing())
	return p
}

func (p *pool) passing() int {
	n := 0
	for _, runs := range p.runs {
		if runs {
			n++
		}
	}
	return n
}

// view is what the catalog shows: the truth, but for nodes whose stop it need
// not have noticed yet.
func (p *pool) view(late func(node string) bool) pools.Pool {
	var seen pools.Pool
	for _, node := range p.nodes {
		seen = append(seen, pools.Instance{Node: node, Passing: p.runs[node] || p.down[node] && p.lags[node] && late(node)})
	}
	return seen
}

func (p *pool) held() []holder {
	var held []holder
	for _, node := range slices.Sorted(maps.Keys(p.holders)) {
		held = append(held, holder{node: node, order: p.holders[node]})
	}
	return held
}

// act lets one node do its next step.
func (p *pool) act(node string, late func(string) bool) {
	_, holds := p.holders[node]
	switch {
	case p.done[node]:
	case !holds && !p.foresaw[node]:
		// As foresee does it, in one look.
		p.foresaw[node] = mayGoDown(p.view(late), node, append(p.held(), holder{node: node, order: p.index + 1}), p.quorum, false) == nil
	case !holds:
		p.foresaw[node] = false
		if len(p.holders) < p.slots {
			p.index++
			p.holders[node] = p.index
		}
	case p.down[node]:
		// Up again with the new version, seen by the catalog, slot given back.
		p.runs[node], p.done[node] = true, true
		delete(p.down, node)
		delete(p.holders, node)
	case p.allowed[node]:
		p.lags[node] = p.runs[node]
		p.runs[node], p.down[node] = false, true
		delete(p.allowed, node)
	case p.read[node] == nil:
		p.read[node] = p.held()
	default:
		if mayGoDown(p.view(late), node, p.read[node], p.quorum, false) == nil {
			p.allowed[node] = true
		} else {
			delete(p.holders, node)
		}
		delete(p.read, node)
	}
}

func TestMayGoDown_KeepsTheQuorumInAnyInterleaving(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := newPool(t)
		late := func(string) bool { return rapid.Bool().Draw(t, "late") }
		steps := rapid.SliceOfN(rapid.SampledFrom(p.nodes), 0, 80).Draw(t, "steps")
		for _, node := range steps {
			p.act(node, late)
			if n := p.passing(); n < p.least {
				t.Fatalf("%d nodes pass, want %d at least (quorum %d): %+v", n, p.least, p.quorum, p)
			}
		}
		// Whatever happened, everybody gets there when each one has its turns.
		if p.quorum == len(p.nodes) {
			return // nobody may ever go
		}
		on := func(string) bool { return false }
		for range 10 * len(p.nodes) {
			for _, node := range p.nodes {
				p.act(node, on)
			}
		}
		if len(p.done) != len(p.nodes) {
			t.Fatalf("only %v of %v have been replaced: they yield for ever", slices.Sorted(maps.Keys(p.done)), p.nodes)
		}
	})
}

func TestMayGoDown_LetsTheFirstOfTheHoldersGo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var seen pools.Pool
		var held []holder
		for i := range rapid.IntRange(2, 8).Draw(t, "nodes") {
			in := pools.Instance{Node: fmt.Sprintf("n%d", i), Passing: true}
			seen = append(seen, in)
			if rapid.Bool().Draw(t, "holds") {
				held = append(held, holder{node: in.Node, order: rapid.Uint64Range(1, 1000).Draw(t, "order")})
			}
		}
		held = slices.CompactFunc(held, func(a, b holder) bool { return a.order == b.order })
		if len(held) == 0 {
			return
		}
		first := slices.MinFunc(held, func(a, b holder) int { return int(a.order) - int(b.order) })
		quorum := rapid.IntRange(1, len(seen)-1).Draw(t, "quorum")
		if slices.ContainsFunc(held, func(h holder) bool { return h.order == first.order && h.node != first.node }) {
			return
		}
		if err := mayGoDown(seen, first.node, held, quorum, false); err != nil {
			t.Fatalf("the first of %v may not go: %v", held, err)
		}
	})
}

func TestMayGoDown_SaysWhyNot(t *testing.T) {
	t.Parallel()
	seen := pools.Pool{{Node: "n1", Passing: true}, {Node: "n2", Passing: true}, {Node: "n3"}}
	err := mayGoDown(seen, "n1", []holder{{"n1", 7}}, 2, false)
	want := "the quorum of 2 would not hold: without n1, 1 nodes pass (down or about to be: n3)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	if err := mayGoDown(seen, "n1", []holder{{"n2", 7}}, 1, false); err == nil || !strings.Contains(err.Error(), "holds no slot") {
		t.Errorf("without a slot: %v", err)
	}
	if err := mayGoDown(seen, "n3", nil, 3, false); err != nil {
		t.Errorf("a node that doesn't pass: %v, want no objection", err)
	}
	if err := mayGoDown(seen, "n4", nil, 3, false); err != nil {
		t.Errorf("a node that isn't in the catalog: %v, want no objection", err)
	}
	// It was drained to be stopped, and would pass again: now it counts.
	if err := mayGoDown(seen, "n3", []holder{{"n3", 7}}, 3, true); err == nil || !strings.Contains(err.Error(), "quorum of 3") {
		t.Errorf("a drained node: %v, want the quorum's refusal", err)
	}
}
