package linear

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"
)

// register is the real thing, on which operations take effect at one moment
// each.
type register struct {
	state

	last uint64 // index that was given out
	cas  bool   // whether writes are held to what they expect
	held bool   // whether they are held to the lease
}

// do does an operation as Consul would.
func (r *register) do(o step) step {
	switch o.what {
	case acquire:
		r.holder = o.session
	case write:
		if r.cas && r.index != o.expect || r.held && o.session != "" && o.session != r.holder {
			o.what = differs
			if r.index == o.expect {
				o.what = check // only the lease stood in the way
			}
			return o
		}
		r.last++
		r.index, r.value = r.last, o.value
		o.index = r.index
	default:
		o.index, o.value = r.index, r.value
	}
	return o
}

// run has clients do what is drawn, with calls and returns that overlap, on a
// register. Clients write on what they have read, as long ago as that may be.
func run(t *rapid.T, r *register) []porcupine.Operation {
	const clients = 3
	seen := make([]uint64, clients)
	sessions := make([]string, clients)
	var history []porcupine.Operation
	for i := range rapid.IntRange(10, 60).Draw(t, "operations") {
		client := rapid.IntRange(0, clients-1).Draw(t, "client")
		o := step{key: "k", what: rapid.SampledFrom([]kind{read, read, write, write, acquire}).Draw(t, "what")}
		switch o.what {
		case write:
			o.expect, o.value, o.session = seen[client], fmt.Sprint("v", i), sessions[client]
		case acquire:
			o.session = fmt.Sprint("s", i)
		default:
		}
		o = r.do(o)
		switch o.what {
		case read:
			seen[client] = o.index
		case acquire:
			sessions[client] = o.session
		default:
		}
		early, late := rapid.Int64Range(0, 30).Draw(t, "early"), rapid.Int64Range(0, 30).Draw(t, "late")
		operation := porcupine.Operation{ClientId: client, Input: o, Call: int64(100*i) - 10*early, Return: int64(100*i) + 10*late}
		if o.what == write && rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
			o.unknown, o.index = true, 0
			operation.Input, operation.Return = o, math.MaxInt64
		}
		history = append(history, operation)
	}
	return history
}

func TestModel_TakesWhatARegisterDoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		if err := checkOperations(run(t, &register{cas: true, held: true}), dir); err != nil {
			t.Fatal(err)
		}
	})
}

// TestModel_NoticesABrokenRegister breaks one guard at a time: somewhere in a
// number of histories it must show, and never without one that matters.
func TestModel_NoticesABrokenRegister(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, broken := range map[string]register{"no compare-and-set": {held: true}, "no lease": {cas: true}} {
		noticed := 0
		rapid.Check(t, func(t *rapid.T) {
			r := broken
			if checkOperations(run(t, &r), dir) != nil {
				noticed++
			}
		})
		if noticed == 0 {
			t.Errorf("%s: nothing was noticed in any history", name)
		}
	}
}

func TestModel_RefusesWhatCannotHaveBeen(t *testing.T) {
	t.Parallel()
	taken := func(session string) step { return step{what: acquire, session: session} }
	written := func(session string, expect, index uint64) step {
		return step{what: write, key: "k", session: session, expect: expect, index: index, value: fmt.Sprint(index)}
	}
	found := func(index uint64) step { return step{what: read, key: "k", index: index, value: fmt.Sprint(index)} }
	for name, steps := range map[string][]step{
		"a lost update":                       {taken("a"), written("a", 0, 1), written("a", 0, 2)},
		"a write after the lease was lost":    {taken("a"), written("a", 0, 1), taken("b"), written("a", 1, 2)},
		"a write by who never held the lease": {taken("a"), written("b", 0, 1)},
		"a stale read":                        {taken("a"), written("a", 0, 1), written("a", 1, 2), found(1)},
		"a value that nobody wrote":           {taken("a"), written("a", 0, 1), found(7)},
		"a refusal without a cause":           {taken("a"), written("a", 0, 1), {what: differs, key: "k", expect: 1}},
		"an index that was not there":         {taken("a"), written("a", 0, 1), {what: check, key: "k", expect: 2}},
	} {
		var history []porcupine.Operation
		for i, s := range steps {
			history = append(history, porcupine.Operation{Input: s, Call: int64(10 * i), Return: int64(10*i + 5)})
		}
		if err := checkOperations(history, t.TempDir()); err == nil || !strings.Contains(err.Error(), "one after the other") {
			t.Errorf("%s was taken for possible (%v)", name, err)
		}
		// Without the last one, it is possible.
		if err := checkOperations(history[:len(history)-1], t.TempDir()); err != nil && !strings.Contains(name, "never held") {
			t.Errorf("before %s: %v", name, err)
		}
	}
}
