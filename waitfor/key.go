package waitfor

import (
	"context"
	"strings"

	"switchd/consul"
	"switchd/gate"
)

// watchKey watches a key. White space around its value doesn't count: files and
// echo end with a line break.
func (w Wait) watchKey(ctx context.Context, report func(gate.Verdict)) {
	key, want := w.Vars.Expand(w.For.Key), strings.TrimSpace(w.Vars.Expand(w.For.Value))
	w.Consul.WatchKey(ctx, key, func(seen consul.Seen[consul.Entry]) {
		if seen.Err != nil {
			report(gate.Undecided("key %s is not known: %v", key, seen.Err))
			return
		}
		report(keyVerdict(key, want, seen.Value))
	})
}

func keyVerdict(key, want string, entry consul.Entry) gate.Verdict {
	switch value := strings.TrimSpace(string(entry.Value)); {
	case entry.Index == 0 && want == "":
		return gate.Undecided("key %s is not there", key)
	case entry.Index == 0:
		return gate.Undecided("key %s is not there; it must be %s", key, quote(want))
	case want == "" && value == "":
		return gate.Undecided("key %s is empty", key)
	case want == "":
		return gate.Passed("key %s is there", key)
	case value != want:
		return gate.Undecided("key %s is %s; it must be %s", key, quote(value), quote(want))
	default:
		return gate.Passed("key %s is %s", key, quote(want))
	}
}
