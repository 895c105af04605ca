package sweep

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"switchd/rollout"
	"switchd/testenv/intercept"
)

// The programs that are killed.
const (
	controller = "controller"
	agent      = "agent"
	promote    = "promote"
	approve    = "approve"
	rollback   = "rollback"
)

// scripted begins the effects of the service's own scripts.
const scripted = "script "

// Point is a fault point: right before or right after an effect.
type Point struct {
	Who    string // of the programs above
	Effect string // what it does, with "#2" for the second time and so on
	After  bool   // it is done, and the program has not been told
}

// String tells the point to people.
func (p Point) String() string {
	when := "before"
	if p.After {
		when = "after"
	}
	return p.Who + " " + when + " " + p.Effect
}

// counts tells whether the point is one of a sweep. The nodes that DNS answers
// with are written as often as health happens to change, which counts three
// times.
func (p Point) counts() bool {
	const often = 3
	effect, times, again := strings.Cut(p.Effect, " #")
	n, err := strconv.Atoi(times)
	return !again || !strings.Contains(effect, "live.pools/") || err == nil && n <= often
}

// effectOf says what a write to Consul is about, in words that are the same in
// every rollout.
func (w *world) effectOf(c *intercept.Call) string {
	if ops, ok := c.Txn(); ok {
		var words []string
		for _, op := range ops {
			if word := w.wordOf(op); word != "" {
				words = append(words, word)
			}
		}
		return "txn " + strings.Join(words, " ")
	}
	if key, ok := c.Key(); ok {
		verb := strings.ToLower(c.Method)
		for _, query := range []string{"acquire", "release"} {
			if c.Query.Has(query) {
				verb = query
			}
		}
		return verb + " " + w.plain(key)
	}
	verb := ""
	if c.Method != http.MethodPut {
		verb = strings.ToLower(c.Method) + " "
	}
	return verb + w.plain(strings.TrimPrefix(c.Path, "/v1/"))
}

// wordOf is what a transaction's operation writes; what it only looks at is no
// effect.
func (w *world) wordOf(op intercept.Op) string {
	key := w.plain(op.Key)
	switch op.Verb {
	case api.KVCheckIndex, api.KVCheckNotExists, api.KVCheckSession:
		return ""
	case api.KVDelete, api.KVDeleteCAS:
		return "-" + key
	default:
	}
	if op.Key == w.keys.Rollout(w.service) {
		if record, err := rollout.ParseRecord([]byte(op.Value), 0); err == nil && record != nil {
			return key + "=" + string(record.Phase)
		}
	}
	return key
}

// What differs from rollout to rollout.
var ( //nolint:gochecknoglobals // they never change
	sessionID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	rolloutID = regexp.MustCompile(`-\d{8}T\d{6}-[0-9a-f]{8}`)
	approver  = regexp.MustCompile(`^approvals/[^/]+/`)
)

// plain is a key or a path without what differs from rollout to rollout.
func (w *world) plain(text string) string {
	text = strings.TrimPrefix(text, w.keys.Prefix())
	text = sessionID.ReplaceAllString(text, "ID")
	text = rolloutID.ReplaceAllString(text, "-ID")
	text = approver.ReplaceAllString(text, "approvals/ID/")
	return strings.ReplaceAll(text, w.service, "web")
}

// passed is one more time that an effect comes; it numbers them.
func (w *world) passed(who, effect string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := who + " " + effect
	w.times[key]++
	if n := w.times[key]; n > 1 {
		effect = fmt.Sprintf("%s #%d", effect, n)
	}
	w.trace = append(w.trace, Point{Who: who, Effect: effect})
	return effect
}
