package driver

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsproof"
)

// witness is one server that has to show what is claimed of a name.
type witness struct {
	kind kind
	name string // for people
	addr string // host:port
	// excuse is why its silence would be no trouble; empty: it would.
	excuse string
	lost   bool // its address is not known, but it may have one
}

// kind is what a witness is, in the order in which they are counted up.
type kind int

const (
	replicas kind = iota
	secondaries
	nameServers
	resolvers
	kinds
)

// String is the kind of several.
func (k kind) String() string {
	return [...]string{"replicas", "secondaries", "name servers", "resolvers"}[k]
}

const (
	// askFor bounds how long a witness is asked, again and again.
	askFor = 2 * time.Second
	// ownPace is between two questions to a replica, which switchd is itself.
	ownPace = 20 * time.Millisecond
	// firstPace is between the first two questions to a server of others, and
	// lastPace the longest; it grows in between.
	firstPace = 50 * time.Millisecond
	lastPace  = 500 * time.Millisecond
)

// answer is what one witness said.
type answer struct {
	witness

	text   string
	shows  bool // what is claimed
	counts bool // it must show it, and doesn't
	silent bool
}

// askAll asks all witnesses at once.
func askAll(ctx context.Context, all []witness, c claim) []answer {
	answers := make([]answer, len(all))
	var asking sync.WaitGroup
	for i, w := range all {
		asking.Go(func() { answers[i] = w.ask(ctx, c) })
	}
	asking.Wait()
	return answers
}

// ask asks until the witness shows the claim, for two seconds at most.
func (w witness) ask(ctx context.Context, c claim) answer {
	if w.addr == "" {
		return answer{witness: w, text: w.name + " " + w.excuse, counts: w.lost}
	}
	deadline := time.Now().Add(askFor)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var last answer
	pause := firstPace
	if w.kind == replicas {
		pause = ownPace
	}
	for asked := false; ; asked = true {
		reply, err := w.reply(ctx, c)
		switch {
		case err == nil && c.shown(w.kind, reply):
			return answer{witness: w, text: w.name + " answers " + c.words(reply) + serial(reply), shows: true}
		case err == nil:
			last = answer{witness: w, text: w.place() + " still answers " + c.words(reply), counts: true}
			if w.kind == resolvers && reply.TTL > 0 {
				last.text += fmt.Sprintf(", for %s more", reply.TTL)
				pause = max(pause, reply.TTL)
			}
		case asked && (ctx.Err() != nil || !time.Now().Before(deadline)):
			// The time is over; what was learned before it stands.
		default:
			last = answer{witness: w, text: fmt.Sprintf("%s does not answer: %v", w.place(), err), counts: w.excuse == "", silent: true}
			if w.excuse != "" {
				last.text += "; " + w.excuse
			}
		}
		if time.Until(deadline) < pause {
			return last
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(pause):
		}
		if w.kind != replicas {
			pause = min(2*pause, lastPace)
		}
	}
}

// place is the witness with its address.
func (w witness) place() string {
	if strings.HasSuffix(w.name, w.addr) {
		return w.name
	}
	return fmt.Sprintf("%s (%s)", w.name, w.addr)
}

// serial is the version of the zone that the reply is of, if that is known.
func serial(r dnsproof.Reply) string {
	if r.Zone == "" {
		return ""
	}
	return fmt.Sprintf(", serial %d", r.Serial)
}

// reply is what the witness says. A resolver may keep addresses of the two
// families apart: the one that doesn't show the claim is what counts.
func (w witness) reply(ctx context.Context, c claim) (dnsproof.Reply, error) {
	if w.kind != resolvers {
		return dnsproof.Ask(ctx, w.addr, c.fqdn())
	}
	var found dnsproof.Reply
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		r, err := dnsproof.Resolve(ctx, w.addr, c.fqdn(), qtype)
		if err != nil {
			return r, err
		}
		switch empty := r.Target == "" && len(r.Addrs) == 0; {
		case empty: // a pool need not have addresses of both families
		case !c.shown(w.kind, r):
			return r, nil
		default:
			found = r
		}
	}
	return found, nil
}
