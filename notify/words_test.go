package notify_test

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"switchd/notify"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

func TestNotice_SaysAllThatOneNeedsToKnow(t *testing.T) {
	t.Parallel()
	waiting := facts(rollout.Switching, waits(spec.GateApproval, "release", "security", noon))
	waiting.Page = "http://10.0.0.2:8700/"
	window := facts(rollout.Rolling, rollout.GateState{Name: "hours", Kind: spec.GateWindow, Point: "weight 25", Since: noon, Until: noon.Add(20 * time.Hour), Then: "it goes on", Outcome: rollout.GateWaits, Why: "outside of mon-fri 09:00-16:00"})
	halted := facts(rollout.Halted)
	halted.Record.Halt = &rollout.Halt{Phase: rollout.Canary, By: "alert HighErrorRate", Why: "errors\r\nBcc: all@apps.test <!channel>", At: noon}
	failed := facts(rollout.Failed)
	failed.Record.Outcome = "g1 failed with 2.0.0: exit status 1"
	switched := facts(rollout.Draining)
	switched.Record.ProvedAt = noon
	back := facts(rollout.Done)
	back.Live = &pools.Live{Pool: spec.Blue, Version: "1.0.0", Rollout: "r1", RolledBack: true, By: "bob", Why: "slow", At: noon}
	for name, c := range map[string]struct {
		facts notify.Facts
		event string
		want  string
	}{
		"waiting": {waiting, spec.EventWaiting, `[prod] web 2.0.0 waits for approval release
web 2.0.0, on its way to pool green in prod, waits for approval "release" before the switch.
Missing: 1 of 2 approvals
Since: 2026-11-21 12:00:00 UTC (5m0s ago)
Until: 2026-11-21 14:00:00 UTC (in 1h55m0s), then: halt
Asked for by: security
To end it, if you may approve it:
  switchd --env prod approve web --gate release
  switchd --env prod approve web --gate release --deny --why REASON
To see more:
  switchd --env prod status web
Page: http://10.0.0.2:8700/`},
		"window": {window, spec.EventWaiting, `[prod] web 2.0.0 waits for window hours
web 2.0.0, on its way to pool green in prod, waits for window "hours" before it gets 25 % of the users.
Missing: outside of mon-fri 09:00-16:00
Since: 2026-11-21 12:00:00 UTC (5m0s ago)
Until: 2026-11-22 08:00:00 UTC (in 19h55m0s), then: it goes on
It goes on by itself. Who may bypass gates can have it go on now, which is recorded:
  switchd --env prod promote web 2.0.0 --bypass hours --why REASON
To see more:
  switchd --env prod status web`},
		"halted": {halted, spec.EventHalted, `[prod] web 2.0.0 is halted
The rollout of web 2.0.0 to pool green in prod stands still.
Why: errors  Bcc: all@apps.test <! channel>
Halted by: alert HighErrorRate, in phase canary
Since: 2026-11-21 12:00:00 UTC (5m0s ago)
Users are on 1.0.0 on blue.
It waits for a person, without a deadline:
  switchd --env prod resume web
  switchd --env prod rollback web`},
		"failed": {failed, spec.EventFailed, `[prod] web 2.0.0 failed
web 2.0.0 in prod failed: g1 failed with 2.0.0: exit status 1
At: 2026-11-21 12:00:00 UTC (5m0s ago)
What each decision was made on:
  switchd --env prod history web 1 -v`},
		"switched": {switched, spec.EventSwitched, `[prod] web 2.0.0 is live
Users in prod are on 2.0.0 on green, which all that lead them there have shown.
1.0.0 on blue stays up for a rollback until the bake of 1h0m0s has ended:
  switchd --env prod rollback web
At: 2026-11-21 12:00:00 UTC (5m0s ago)`},
		"begun": {facts(rollout.Staging), spec.EventBegun, `[prod] web 2.0.0 begins
web 2.0.0 goes to pool green in prod; users are on 1.0.0 on blue.
Promoted by: alice
  switchd --env prod status web --watch
At: 2026-11-21 12:00:00 UTC (5m0s ago)`},
		"rolledback": {back, spec.EventRolledBack, `[prod] web 2.0.0 was rolled back
Users in prod are on 1.0.0 on blue again.
By: bob
Why: slow
At: 2026-11-21 12:00:00 UTC (5m0s ago)
What each decision was made on:
  switchd --env prod history web 1 -v`},
	} {
		c.facts.Spec.Notify.To, c.facts.Spec.Notify.Events = []string{"web"}, []string{c.event}
		due, _ := notify.Due(c.facts, notify.Memory{}, noon.Add(5*time.Minute))
		if len(due) != 1 {
			t.Errorf("%s: got %q", name, told(due))
			continue
		}
		if got := due[0].Subject + "\n" + due[0].Body; got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestTame_LetsNothingThroughThatBreaksAMessage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`(\r\n|@here|<!channel>|\x00|ü|x{500}|\x{202e}|\xff)*`)).Draw(t, "text")
		limit := rapid.IntRange(3, 2000).Draw(t, "limit")
		for _, lines := range []bool{false, true} {
			got := notify.Tame(text, limit, lines)
			switch {
			case len(got) > limit, !utf8.ValidString(got):
				t.Fatalf("%q has %d bytes", got, len(got))
			case strings.ContainsFunc(got, func(c rune) bool { return unicode.IsControl(c) && (c != '\n' || !lines) }):
				t.Fatalf("%q has control characters", got)
			case strings.Contains(got, "@here"), strings.Contains(got, "<!channel"):
				t.Fatalf("%q calls everybody", got)
			}
		}
	})
}

func TestScrub_LeavesNoPartOfAnAddress(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[a-z]{0,3}(Q[0-9A-Za-z]{8,12})?[-_.]?(Q[0-9A-Za-z]{8,12})`)
		user, password, path, query := part.Draw(t, "user"), part.Draw(t, "password"), part.Draw(t, "path"), part.Draw(t, "query")
		address := "slack://" + user + ":" + password + "@webhook.apps.test/" + path + "?key=" + query
		text := strings.Join([]string{
			"post", rapid.SampledFrom([]string{user, password, path, query, strings.ToLower(password), strings.ToUpper(path)}).Draw(t, "said"),
			"https://" + password + "/" + query, "x" + query + "y", rapid.SampledFrom([]string{"", address}).Draw(t, "all"),
		}, " ")
		got := strings.ToLower(notify.Scrub(text, address))
		for _, secret := range []string{user, password, path, query} {
			for word := range strings.FieldsFuncSeq(strings.ToLower(secret), func(c rune) bool { return strings.ContainsRune("-_.", c) }) {
				if len(word) >= 3 && strings.Contains(got, word) {
					t.Fatalf("%q of %q is in %q", word, address, got)
				}
			}
		}
		if !strings.Contains(got, "po") {
			t.Fatalf("nothing is left: %q", got)
		}
	})
}
