// Package linear records what programs read and wrote of an environment's
// records in Consul, and checks that it is linearizable: that all of it could
// have happened one after the other, each at one moment between its call and
// its return, to registers that change by compare-and-set only and whose
// writers hold a lease.
//
// The checker is porcupine (A. Athalye, https://github.com/anishathalye/porcupine),
// by the algorithm of G. Lowe, "Testing for linearizability", 2017.
package linear

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/testenv/intercept"
)

// History is what was said of an environment's live and rollout records. It is
// safe for concurrent use.
type History struct {
	keys  consul.Keys
	began time.Time

	mu         sync.Mutex
	operations []porcupine.Operation
	clients    []string
	owners     map[string]string // who took the lease with a session
	unfenced   []string
}

// NewHistory begins the history of an environment.
func NewHistory(keys consul.Keys) *History {
	return &History{keys: keys, began: time.Now(), owners: make(map[string]string)}
}

// Record notes a call of a program that is over.
func (h *History) Record(who string, c *intercept.Call) {
	if c.Unsent || c.Status == http.StatusInternalServerError && strings.Contains(string(c.Answer), "No cluster leader") {
		return // nothing was done
	}
	if ops, ok := c.Txn(); ok {
		h.txn(who, c, ops)
		return
	}
	key, ok := c.Key()
	switch {
	case !ok:
	case key == h.keys.Lease() && c.Query.Has("acquire"):
		h.lease(who, c)
	case h.Keeps(key) && c.Method == http.MethodGet && c.Query.Has("consistent") && !c.Query.Has("recurse"):
		h.read(who, c, key)
	case h.Keeps(key) && c.Writes():
		h.breaks("%s wrote %s outside of a transaction", who, key)
	}
}

// breaks notes a write that nothing would have kept from being done too late.
func (h *History) breaks(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unfenced = append(h.unfenced, fmt.Sprintf(format, args...))
}

// Keeps tells whether a key's history is kept.
func (h *History) Keeps(key string) bool {
	return strings.HasPrefix(key, h.keys.Lives()) || strings.HasPrefix(key, h.keys.Rollouts())
}

// Takes tells whether a call has locked the key that it is about.
func Takes(c *intercept.Call) bool {
	return c.Query.Has("acquire") && c.Status == http.StatusOK && strings.TrimSpace(string(c.Answer)) == "true"
}

// lease notes who took the driver's lease. A try that failed tells nothing.
func (h *History) lease(who string, c *intercept.Call) {
	if c.Status == http.StatusOK && !Takes(c) {
		return
	}
	session := c.Query.Get("acquire")
	h.mu.Lock()
	h.owners[session] = who
	h.mu.Unlock()
	h.add(who, c, step{what: acquire, session: session, unknown: c.Status != http.StatusOK})
}

func (h *History) read(who string, c *intercept.Call, key string) {
	s := step{what: read, key: key}
	var pairs api.KVPairs
	switch {
	case c.Status == http.StatusNotFound:
	case c.Status != http.StatusOK || json.Unmarshal(c.Answer, &pairs) != nil || len(pairs) != 1:
		return // whoever read it has learnt nothing
	default:
		s.index, s.value = pairs[0].ModifyIndex, string(pairs[0].Value)
	}
	h.add(who, c, s)
}

// txn notes what a transaction says of the kept keys.
func (h *History) txn(who string, c *intercept.Call, ops []intercept.Op) {
	done, refused := c.Status == http.StatusOK, c.Status == http.StatusConflict
	lease, fenced := h.fence(ops)
	for _, op := range ops {
		if !h.Keeps(op.Key) {
			continue
		}
		s := step{key: op.Key, expect: op.Index, unknown: !done && !refused}
		switch op.Verb {
		case api.KVCAS, api.KVDeleteCAS:
			s.what, s.value, s.session, s.index = write, op.Value, lease, op.Written
			if !fenced {
				h.breaks("%s wrote %s in a transaction that no lease guards: %+v", who, op.Key, ops)
			} else if owner := h.owner(lease); lease != "" && owner != who {
				h.breaks("%s wrote %s under the lease of %q", who, op.Key, owner)
			}
		case api.KVCheckIndex, api.KVCheckNotExists:
			s.what = check
		default:
			h.breaks("%s wrote %s by %q, which nothing that was read before is held to", who, op.Key, op.Verb)
			continue
		}
		switch {
		case s.unknown && s.what == check:
			continue // it has changed nothing
		case refused && !op.Failed:
			s.what = check // as it was expected; something else stood in the way
		case refused:
			s.what = differs
		}
		h.add(who, c, s)
	}
}

// fence is the session under whose lease a transaction is done, "" for a
// command's own; false: there is none.
func (h *History) fence(ops []intercept.Op) (session string, fenced bool) {
	for _, op := range ops {
		switch {
		case op.Verb == api.KVCheckSession && op.Key == h.keys.Lease():
			return op.Session, true
		case (op.Verb == api.KVLock || op.Verb == api.KVCheckSession) && strings.HasPrefix(op.Key, h.keys.Operators()):
			return "", true
		}
	}
	return "", false
}

// owner is who took the lease with a session.
func (h *History) owner(session string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.owners[session]
}

func (h *History) add(who string, c *intercept.Call, s step) {
	h.mu.Lock()
	defer h.mu.Unlock()
	client := slices.Index(h.clients, who)
	if client < 0 {
		client = len(h.clients)
		h.clients = append(h.clients, who)
	}
	operation := porcupine.Operation{ClientId: client, Input: s, Call: c.Sent.Sub(h.began).Nanoseconds(), Return: c.Returned.Sub(h.began).Nanoseconds()}
	if s.unknown {
		operation.Return = math.MaxInt64 // it may be done at any time, or never
	}
	h.operations = append(h.operations, operation)
}

// Counts is how much a history holds.
type Counts struct{ Reads, Writes, Refused, Unknown, Leases int }

// String tells it to people.
func (c Counts) String() string {
	return fmt.Sprintf("%d reads, %d writes, %d refused writes, %d whose outcome nobody knows, %d times that the lease was taken", c.Reads, c.Writes, c.Refused, c.Unknown, c.Leases)
}

// Counts counts what was recorded so far.
func (h *History) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	var n Counts
	for _, o := range h.operations {
		switch s := o.Input.(step); {
		case s.unknown:
			n.Unknown++
		case s.what == write:
			n.Writes++
		case s.what == differs:
			n.Refused++
		case s.what == acquire:
			n.Leases++
		default:
			n.Reads++
		}
	}
	return n
}

// patience bounds the search for an order.
const patience = 2 * time.Minute

// Check looks for an order in which everything could have happened. What it
// can't order is drawn into a file of HTML in dir.
func (h *History) Check(dir string) error {
	h.mu.Lock()
	operations, unfenced := h.relevant(), slices.Clone(h.unfenced)
	h.mu.Unlock()
	if len(unfenced) > 0 {
		return fmt.Errorf("writes without a fence:\n%s", strings.Join(unfenced, "\n"))
	}
	return checkOperations(operations, dir)
}

// relevant leaves out what can't make a difference and would make the search
// long: leases that were perhaps taken, by sessions that never wrote.
func (h *History) relevant() []porcupine.Operation {
	wrote := make(map[string]bool)
	for _, o := range h.operations {
		if s := o.Input.(step); s.what == write {
			wrote[s.session] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(h.operations), func(o porcupine.Operation) bool {
		s := o.Input.(step)
		return s.what == acquire && s.unknown && !wrote[s.session]
	})
}

func checkOperations(operations []porcupine.Operation, dir string) error {
	model := model()
	result, info := porcupine.CheckOperationsVerbose(model, operations, patience)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("no order was found for %d operations within %v, and none ruled out", len(operations), patience)
	default:
		picture := dir + "/history.html"
		err := porcupine.VisualizePath(model, info, picture)
		return errors.Join(fmt.Errorf("the %d operations could not have happened one after the other, see %s", len(operations), picture), err)
	}
}
