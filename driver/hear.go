package driver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"switchd/gate"
)

// hear asks the authorities, and others that are given, what they say of a
// claim.
func (w *World) hear(ctx context.Context, a authorities, c claim, others ...witness) heard {
	h := heard{authorities: a}
	var more []answer
	var asking sync.WaitGroup
	asking.Go(func() {
		var found []witness
		if found, h.unlisted = w.nameServersOf(ctx, a); h.unlisted == nil {
			more = askAll(ctx, found, c)
		}
	})
	h.answers = askAll(ctx, slices.Concat(a.known, others), c)
	asking.Wait()
	h.answers = append(h.answers, more...)
	return h
}

// heard is what authorities and others said of a claim.
type heard struct {
	authorities

	answers  []answer
	unlisted error // why the zone's name servers are not known
}

// judge passes if every witness shows the claim whose word counts. The words
// say what it is that they do.
func (h heard) judge(words string) gate.Verdict {
	shown := make(map[string]bool) // by name, which may answer at several addresses
	for _, a := range h.answers {
		shown[a.name] = shown[a.name] || a.shows
	}
	var evidence, missing []string
	var all, proved [kinds]int
	for _, a := range h.answers {
		evidence = append(evidence, a.text)
		if a.kind == replicas || a.addr != "" {
			all[a.kind]++
		}
		switch {
		case a.shows:
			proved[a.kind]++
		case a.silent && shown[a.name]:
			// Nobody is led wrong by it, and the server itself follows.
		case a.counts:
			missing = append(missing, a.text)
		}
	}
	var counted []string
	for k := range kinds {
		if all[k] > 0 {
			counted = append(counted, fmt.Sprintf("%d of %d %s", proved[k], all[k], k))
		}
	}
	switch {
	case len(missing) > 0:
		return gate.Undecided("%s%s", strings.Join(missing, "; "), h.trouble)
	case h.own != nil && proved[replicas] == 0:
		return gate.Undecided("%v", errNoReplica)
	case h.unlisted != nil:
		return gate.Undecided("the zone's name servers are not known: %v%s", h.unlisted, h.trouble)
	}
	verdict := gate.Passed("%s %s", strings.Join(counted, ", "), words)
	verdict.Evidence = evidence
	return verdict
}
