package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/sync/errgroup"

	"switchd/consul"
	"switchd/rollout"
	"switchd/spec"
)

// maxConsent bounds what is read of one person's word on one gate, in bytes.
// People write it with tokens that may do little else.
const maxConsent = 4 << 10

// Consents reads what people have said of the gates of a service's rollouts.
// Whose word it is stands in the key alone, which Consul's ACL protects; what
// can't be read is nobody's word. Nobody's words steer a terminal.
func (l *Ledger) Consents(ctx context.Context, service spec.Service) ([]rollout.Consent, []rollout.Bypass, error) {
	var consents []rollout.Consent
	var bypasses []rollout.Bypass
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return l.eachWord(ctx, l.Keys.Consents(), service, func(who, gate string, value []byte) {
			var c rollout.Consent
			if json.Unmarshal(value, &c) == nil && c.Gate == gate {
				c.Who, c.By, c.Why = who, plain(c.By), plain(c.Why)
				consents = append(consents, c)
			}
		})
	})
	group.Go(func() error {
		return l.eachWord(ctx, l.Keys.Bypasses(), service, func(who, gate string, value []byte) {
			var b rollout.Bypass
			if json.Unmarshal(value, &b) == nil && b.Gate == gate {
				b.Who, b.By, b.Why = who, plain(b.By), plain(b.Why)
				bypasses = append(bypasses, b)
			}
		})
	})
	return consents, bypasses, group.Wait()
}

// eachWord reads what people have said under a prefix of the gates of one service.
// Only those keys are read: whoever may write below their own name could put so
// much there that nobody could read it all in time.
func (l *Ledger) eachWord(ctx context.Context, prefix string, service spec.Service, each func(who, gate string, value []byte)) error {
	known := rollout.GateNames(service)
	if len(known) == 0 {
		return nil
	}
	names, err := l.Consul.Names(ctx, prefix)
	if err != nil {
		return err
	}
	for _, name := range names {
		who, of, gate, ok := splitWord(prefix, name)
		if !ok || of != service.Name || !slices.Contains(known, gate) {
			continue
		}
		entry, err := l.Consul.Get(ctx, name)
		if err != nil {
			return err
		}
		if len(entry.Value) <= maxConsent {
			each(who, gate, entry.Value)
		}
	}
	return nil
}

// plain has no control characters: what people write is shown on terminals and
// sent to others.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// splitWord takes a key apart from its beginning, which is what an ACL protects:
// who makes folders below their own name speaks for themselves all the same.
func splitWord(prefix, key string) (who, service, gate string, ok bool) {
	parts := strings.Split(strings.TrimPrefix(key, prefix), "/")
	if len(parts) != 3 {
		return "", "", "", false
	}
	who, err := url.PathUnescape(parts[0])
	return who, parts[1], parts[2], err == nil && who != ""
}

// Consent writes what a person says of a gate, in the place of what they have said
// before. It takes the right to write that one key, and no other.
func (l *Ledger) Consent(ctx context.Context, service string, c rollout.Consent) error {
	return l.say(ctx, l.Keys.Consent(url.PathEscape(c.Who), service, c.Gate), c)
}

// Bypass writes a person's bypass of a gate of the rollout under way. It takes the
// right to write that one key, and no other.
func (l *Ledger) Bypass(ctx context.Context, service string, b rollout.Bypass) error {
	return l.say(ctx, l.Keys.Bypass(url.PathEscape(b.Who), service, b.Gate), b)
}

// say writes a key that only one person writes, and they perhaps twice at the
// same time.
func (l *Ledger) say(ctx context.Context, key string, word any) error {
	return insist(func() error {
		op, err := l.sayOp(ctx, key, word)
		if err != nil {
			return err
		}
		return l.Consul.Txn(ctx, "write "+key, op)
	})
}

func (l *Ledger) sayOp(ctx context.Context, key string, word any) (consul.Op, error) {
	value, err := json.Marshal(word)
	if err != nil {
		return consul.Op{}, fmt.Errorf("write %s: %w", key, err)
	}
	entry, err := l.Consul.Get(ctx, key)
	if err != nil {
		return consul.Op{}, err
	}
	return consul.CAS(key, value, entry.Index), nil
}

// bypassOps write the bypasses that a change goes along with.
func (l *Ledger) bypassOps(ctx context.Context, change *rollout.Change) ([]consul.Op, error) {
	var ops []consul.Op
	for _, b := range change.Bypasses {
		op, err := l.sayOp(ctx, l.Keys.Bypass(url.PathEscape(b.Who), service(change), b.Gate), b)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

// ForgetConsents deletes what people have said of rollouts that have ended. It is
// for whoever drives: nobody else may write other people's keys.
func (l *Ledger) ForgetConsents(ctx context.Context, fence Fence) error {
	var words []consul.Entry
	for _, prefix := range []string{l.Keys.Consents(), l.Keys.Bypasses()} {
		entries, err := l.Consul.List(ctx, prefix)
		if err != nil {
			return err
		}
		words = append(words, entries...)
	}
	if len(words) == 0 {
		return nil
	}
	// The records are read after the words: nobody can have spoken of a rollout
	// that began since.
	records, err := l.Consul.List(ctx, l.Keys.Rollouts())
	if err != nil {
		return err
	}
	underWay := make(map[string]bool)
	for _, entry := range records {
		record, err := rollout.ParseRecord(entry.Value, entry.Index)
		if err != nil {
			return fmt.Errorf("parse %s in Consul: %w", entry.Key, err)
		}
		if record != nil && !record.Phase.Ended() {
			underWay[record.ID] = true
		}
	}
	var ops []consul.Op
	for _, entry := range words {
		var word struct {
			Rollout string `json:"rollout"`
		}
		if json.Unmarshal(entry.Value, &word) == nil && underWay[word.Rollout] {
			continue
		}
		if ops = append(ops, consul.DeleteCAS(entry.Key, entry.Index)); len(ops) == consul.MaxOps-1 {
			break // the others at the next end of a rollout
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return l.fenced(ctx, fence, "forget what was said of ended rollouts", ops...)
}
