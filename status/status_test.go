package status_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
	"switchd/status"
	"switchd/train"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at is a moment of the one day on which everything here happens.
func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2026-03-01 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

func instance(node, address, version string, why string) pools.Instance {
	return pools.Instance{Node: node, Address: address, Port: 8080, Version: version, Passing: why == "", Why: why}
}

// canary is a service in the middle of its canary.
func canary() rollout.Situation {
	return rollout.Situation{
		Spec: spec.Service{
			Name: "web", Owner: "team-web", Roll: spec.Roll{Quorum: spec.Nodes(2)}, Bake: spec.Duration(10 * time.Minute),
			Approvals: []spec.Approval{{Name: "ops"}, {Name: "security", MinApprovers: 2}},
		},
		Record: &rollout.Record{
			ID: "web-2.4.0-20260301T045700-0badcafe", Service: "web", Version: "2.4.0", Pool: spec.Green,
			From: pools.Side{Pool: spec.Blue, Version: "2.3.0"}, By: "deploy@ci", At: at("04:57:00"),
			Phase: rollout.Canary, Entered: at("05:11:10"), Deadline: at("05:12:10"), Then: spec.ThenHalt,
			Wait: &rollout.Wait{
				For:   "for the analysis at 5 %: errors 2 of 5 passing looks",
				Since: at("05:11:10"), Until: at("05:12:10"), Then: spec.ThenHalt,
			},
			Gates: []rollout.GateState{
				{Name: "smoke", Kind: "smoke", Point: "smoke", Outcome: rollout.GateBypassed, By: []string{"bob"}, Why: "the check is broken", At: at("05:08:22")},
				{Name: "hours", Kind: spec.GateWindow, Point: "weight 5", Outcome: rollout.GatePassed, Why: "within 05:00-06:00 UTC", At: at("05:11:11")},
				{Name: "quiet", Kind: spec.GateSilence, Point: "weight 25", Since: at("05:11:12"), Until: at("05:41:12"), Then: spec.ThenHalt, Outcome: rollout.GateWaits, Why: "HighLatency fires"},
			},
			Held:     &rollout.Held{Point: "weight 25", Since: at("05:11:12")},
			Observed: &rollout.Observed{Percent: 4.81, At: at("05:11:19")},
			LeftOut:  []string{"n9"},
			Timeline: []rollout.Event{
				{At: at("04:57:00"), Phase: rollout.Queued, What: "promoted by deploy@ci: 2.4.0 to green; live is 2.3.0 on blue"},
				{At: at("04:57:01"), Phase: rollout.Staging, What: "staging began"},
				{At: at("05:11:11"), Phase: rollout.Canary, What: "5 % of answers lead to green", Facts: []string{"blue n1 runs 2.3.0: passing"}},
			},
		},
		Consents: []rollout.Consent{{Rollout: "web-2.4.0-20260301T045700-0badcafe", Gate: "security", Who: "alice", At: at("05:08:22")}},
		Live: &pools.Live{
			Service: "web", Pool: spec.Blue, Version: "2.3.0", Weights: map[string]int{spec.Blue: 95, spec.Green: 5},
			Generation: 7, Previous: pools.Side{Pool: spec.Green, Version: "2.2.0"},
			By: "switchd", At: at("05:11:11"), Why: "canary of 2.4.0",
		},
		Pools: map[string]pools.Pool{
			spec.Blue: {
				instance("n1", "192.0.2.1", "2.3.0", ""), instance("n2", "192.0.2.2", "2.3.0", ""),
				instance("n3", "192.0.2.3", "2.3.0", "GET /healthz: connection refused"),
			},
			spec.Green: {instance("n4", "192.0.2.4", "2.4.0", ""), instance("n5", "2001:db8::5", "2.2.0", "")},
		},
		Members: map[string][]rollout.Member{
			spec.Blue:  {{Node: "n1", Alive: true}, {Node: "n2", Alive: true}, {Node: "n3", Alive: true}},
			spec.Green: {{Node: "n4", Alive: true}, {Node: "n5", Alive: true}, {Node: "n6", Alive: true}, {Node: "n9"}},
		},
		Reports: map[string]rollout.Report{
			"n4": {Rollout: "web-2.4.0-20260301T045700-0badcafe", State: rollout.Running},
			"n5": {Rollout: "web-2.4.0-20260301T045700-0badcafe", State: rollout.Waiting, Why: "all slots are taken, by n6"},
			"n6": {Rollout: "web-2.4.0-20260301T045700-0badcafe", State: rollout.Replacing},
			"n9": {Rollout: "another", State: rollout.Broken},
		},
	}
}

// first is a service that never had a release.
func first() rollout.Situation {
	return rollout.Situation{
		Spec:    spec.Service{Name: "api", Roll: spec.Roll{Quorum: spec.Nodes(1)}},
		Members: map[string][]rollout.Member{spec.Blue: {{Node: "n1", Alive: true}}},
	}
}

// ended is a service whose rollout came to an end before the switch.
func ended() rollout.Situation {
	s := canary()
	s.Spec.Name, s.Record.Service = "shop", "shop"
	s.Record.Phase, s.Record.Entered, s.Record.Wait, s.Record.Deadline = rollout.Failed, at("02:01:00"), nil, time.Time{}
	s.Record.Outcome = "analysis failed at 5 %: errors is 0.2"
	s.Record.Timeline = append(s.Record.Timeline, rollout.Event{At: at("02:01:00"), Phase: rollout.Failed, What: s.Record.Outcome})
	s.Live.Weights, s.Live.Pool, s.Live.Version = nil, spec.Green, "2.2.0"
	s.Pools[spec.Green] = pools.Pool{instance("n4", "192.0.2.4", "2.2.0", ""), instance("n5", "192.0.2.5", "2.2.0", "")}
	s.Members = nil
	return s
}

// reader is an environment in memory.
type reader struct {
	services  map[string]rollout.Situation
	order     []string
	replicas  []replica.Replica
	trains    []*train.Train
	trainsErr error
	errs      map[string]error // by service; "" is the list of services
}

func newReader(situations ...rollout.Situation) *reader {
	r := &reader{
		services: make(map[string]rollout.Situation), errs: make(map[string]error),
		replicas: []replica.Replica{{Name: "r1", Env: "prod", HTTP: "192.0.2.1:8700", DNS: "192.0.2.1:53", Passing: true}, {Name: "r2", Env: "prod", HTTP: "192.0.2.2:8700"}},
	}
	for _, s := range situations {
		r.services[s.Spec.Name] = s
		r.order = append(r.order, s.Spec.Name)
	}
	return r
}

func (r *reader) Env() string { return "prod" }

func (r *reader) Services(context.Context) ([]spec.Service, error) {
	var services []spec.Service
	for _, name := range r.order {
		services = append(services, r.services[name].Spec)
	}
	return services, r.errs[""]
}

func (r *reader) Observe(_ context.Context, name string) (rollout.Situation, error) {
	if err := r.errs[name]; err != nil {
		return rollout.Situation{}, err
	}
	s, found := r.services[name]
	if !found {
		return s, fmt.Errorf("%w %q", ledger.ErrUnknownService, name)
	}
	return s, nil
}

func (r *reader) Trains(context.Context) ([]*train.Train, error) { return r.trains, r.trainsErr }

func (r *reader) Replicas(context.Context) ([]replica.Replica, error) { return r.replicas, nil }

func read(t *testing.T, r *reader, names ...string) status.Document {
	t.Helper()
	doc, err := status.Read(t.Context(), r, names...)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// same compares texts line by line.
func same(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			t.Errorf("line %d\n got %q\nwant %q", i+1, g, w)
		}
	}
	t.Logf("all of it:\n%s", got)
}

func TestRead_TellsEveryServiceInOrder(t *testing.T) {
	t.Parallel()
	doc := read(t, newReader(first(), ended(), canary()))
	var names []string
	for _, s := range doc.Services {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "api shop web" {
		t.Errorf("services are %q, want %q", got, "api shop web")
	}
	if doc.Environment != "prod" || len(doc.Replicas) != 2 || time.Since(doc.At) > time.Minute {
		t.Errorf("environment %q, %d replicas, at %v", doc.Environment, len(doc.Replicas), doc.At)
	}
}

func TestRead_TellsWhichNodesAreStaleAndWhy(t *testing.T) {
	t.Parallel()
	green := read(t, newReader(canary()), "web").Services[0].Pools[spec.Green]
	want := []status.Node{
		{Node: "n4", Address: "192.0.2.4:8080", Version: "2.4.0", Passing: true},
		{
			Node: "n5", Address: "[2001:db8::5]:8080", Version: "2.2.0", Passing: true, Stale: true,
			Reason: "runs 2.2.0, is to run 2.4.0", Agent: "waiting to run 2.4.0: all slots are taken, by n6",
		},
		{Node: "n6", Why: "nothing is registered", Agent: "replacing 2.4.0"},
		{Node: "n9", Why: "away: Consul does not hold the node for alive"},
	}
	if len(green.Nodes) != len(want) {
		t.Fatalf("got %d nodes, want %d", len(green.Nodes), len(want))
	}
	for i, n := range green.Nodes {
		if n != want[i] {
			t.Errorf("got  %+v\nwant %+v", n, want[i])
		}
	}
}

func TestRead_LeavesAnIdlePoolItsVersion(t *testing.T) {
	t.Parallel()
	blue := read(t, newReader(ended())).Services[0].Pools[spec.Blue]
	for _, n := range blue.Nodes {
		if n.Stale || blue.Wanted != n.Version {
			t.Errorf("%s runs %s and is stale (%s) in an idle pool that wants %q", n.Node, n.Version, n.Reason, blue.Wanted)
		}
	}
}

func TestRead_FindsWhereAnEndedRolloutGotTo(t *testing.T) {
	t.Parallel()
	if got := read(t, newReader(ended())).Services[0].Rollout.Reached; got != rollout.Canary {
		t.Errorf("got %q, want %q", got, rollout.Canary)
	}
}

func TestRead_OfAnUnknownNameFails(t *testing.T) {
	t.Parallel()
	if _, err := status.Read(t.Context(), newReader(first()), "wbe"); !errors.Is(err, ledger.ErrUnknownService) {
		t.Errorf("got %v, want %v", err, ledger.ErrUnknownService)
	}
}

func TestRead_ForgetsAServiceThatGoesAwayMeanwhile(t *testing.T) {
	t.Parallel()
	r := newReader(first(), canary())
	r.errs["api"] = ledger.ErrUnknownService
	if doc := read(t, r); len(doc.Services) != 1 || doc.Services[0].Name != "web" {
		t.Errorf("got %+v, want web alone", doc.Services)
	}
}

func TestRead_TellsABrokenRecordBesideTheOthers(t *testing.T) {
	t.Parallel()
	r := newReader(first(), canary())
	r.errs["api"] = errors.New("parse the live record: unexpected end of JSON input")
	doc := read(t, r)
	if got := doc.Services[0].Error; got != r.errs["api"].Error() {
		t.Errorf("api: got error %q", got)
	}
	if doc.Services[1].Error != "" || doc.Services[1].Live == nil {
		t.Errorf("web: got %+v", doc.Services[1])
	}
	var text strings.Builder
	if err := status.Text(&text, doc, at("05:11:22"), status.Options{}); err != nil {
		t.Fatal(err)
	}
	if want := "api      unknown"; !strings.Contains(text.String(), want) {
		t.Errorf("the overview has no %q:\n%s", want, text.String())
	}
}

func TestRead_HasNoDocumentWithoutConsul(t *testing.T) {
	t.Parallel()
	for _, failing := range []string{"", "web"} {
		r := newReader(first(), canary())
		r.errs[failing] = &consul.Error{Action: "read", Kind: consul.ErrUnreachable}
		doc, err := status.Read(t.Context(), r)
		if !errors.Is(err, consul.ErrUnreachable) || doc.Services != nil {
			t.Errorf("failing at %q: got %v and %+v", failing, err, doc)
		}
	}
}

func TestDocument_IsJSONWithoutNullLists(t *testing.T) {
	t.Parallel()
	r := newReader()
	r.replicas = nil
	text, err := json.Marshal(read(t, r))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "null") {
		t.Errorf("got %s", text)
	}
}

func TestText_IsOneLineAService(t *testing.T) {
	t.Parallel()
	doc := read(t, newReader(first(), ended(), canary()))
	var got strings.Builder
	if err := status.Text(&got, doc, at("05:11:22"), status.Options{}); err != nil {
		t.Fatal(err)
	}
	same(t, got.String(), `
SERVICE  LIVE            BLUE            GREEN                    ROLLOUT
api      nothing         0/1             0/0                      -
shop     2.2.0 on green  2/3 2.3.0       2/2 2.2.0                2.4.0 to green: failed 3h10m ago · analysis failed at 5 %: errors is 0.2
web      2.3.0 on blue   95 % 2/3 2.3.0  5 % 2/4 2.4.0 (1 other)  2.4.0 to green: canary since 12s · waits for the analysis at 5 %: errors 2 of 5 passing looks · until 05:12:10 (in 48s), then halt
`[1:])
}

func TestText_SaysThatNobodyDrives(t *testing.T) {
	t.Parallel()
	r := newReader(canary())
	r.replicas = r.replicas[1:]
	var got strings.Builder
	if err := status.Text(&got, read(t, r), at("05:11:22"), status.Options{Width: 60}); err != nil {
		t.Fatal(err)
	}
	same(t, got.String(), `
SERVICE  LIVE           BLUE            GREEN              …
web      2.3.0 on blue  95 % 2/3 2.3.0  5 % 2/4 2.4.0 (1 ot…
no replica of `[1:]+"`switchd serve`"+` passes its check: rollouts stand still, past their deadlines too, until one does
`)
}

func TestText_OfAnEmptyEnvironmentSaysWhatToDo(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	if err := status.Text(&got, read(t, newReader()), at("05:11:22"), status.Options{}); err != nil {
		t.Fatal(err)
	}
	same(t, got.String(), "environment prod has no services; `switchd apply DIR` declares them\n")
}

func TestDetail_TellsEverythingOfOneService(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	if err := status.Detail(&got, read(t, newReader(first(), canary()), "web"), at("05:11:22"), status.Options{}); err != nil {
		t.Fatal(err)
	}
	same(t, got.String(), `
web in prod, owned by team-web
live      2.3.0 on blue since 11s, generation 7, by switchd: canary of 2.4.0
rollback  leads to 2.2.0 on green
rollout   2.4.0 to green, begun 14m22s ago by deploy@ci (web-2.4.0-20260301T045700-0badcafe)
phase     canary since 12s · waits for the analysis at 5 %: errors 2 of 5 passing looks · until 05:12:10 (in 48s), then halt
share     5 % set, 4.8 % measured 3s ago
gates     smoke bypassed by bob 3m ago: the check is broken
          window hours passed at weight 5 11s ago: within 05:00-06:00 UTC
          silence quiet waits at weight 25: HighLatency fires; until 05:41:12 (in 29m50s), then halt
          approval ops ahead at switch: 0 of 1
          approval security ahead at switch: 1 of 2 by alice
left out  n9

blue  live, 95 % of users, 2 of 3 nodes pass, quorum 2
  n1  192.0.2.1:8080  2.3.0  passing
  n2  192.0.2.2:8080  2.3.0  passing
  n3  192.0.2.3:8080  2.3.0  failing  GET /healthz: connection refused

green  idle, 5 % of users, 2 of 4 nodes pass, quorum 2
  n4  192.0.2.4:8080      2.4.0  passing
  n5  [2001:db8::5]:8080  2.2.0  passing  runs 2.2.0, is to run 2.4.0; waiting to run 2.4.0: all slots are taken, by n6
  n6                             absent   nothing is registered; replacing 2.4.0
  n9                             absent   away: Consul does not hold the node for alive

replicas
  r1  HTTP 192.0.2.1:8700  DNS 192.0.2.1:53  passing
  r2  HTTP 192.0.2.2:8700  no DNS            failing
`[1:])
}

func TestLine_SaysWhatForUntilWhenAndWhatThen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*rollout.Record)
		want   string
	}{
		{"OverItsDeadline", func(r *rollout.Record) { r.Wait.Until = at("05:11:00") },
			"canary since 12s · waits for the analysis at 5 %: errors 2 of 5 passing looks · until 05:11:00 (22s over), then halt"},
		{"LaterThanItsPhase", func(r *rollout.Record) { r.Wait.Since = at("05:11:15") },
			"canary since 12s · waits since 7s for the analysis at 5 %: errors 2 of 5 passing looks · until 05:12:10 (in 48s), then halt"},
		{"OnAnotherDay", func(r *rollout.Record) { r.Wait.Until = at("05:12:10").AddDate(0, 0, 1) },
			"canary since 12s · waits for the analysis at 5 %: errors 2 of 5 passing looks · until 2026-03-02 05:12:10 (in 1d), then halt"},
		{"NotSaidYet", func(r *rollout.Record) { r.Wait = nil },
			"canary since 12s · until 05:12:10 (in 48s), then halt"},
		{"Baking", func(r *rollout.Record) {
			r.Phase = rollout.Baking
			r.Wait = &rollout.Wait{For: "for the bake of 10m0s to end", Since: r.Entered, Until: at("05:21:10"), Then: "the rollout goes on"}
		}, "baking since 12s · waits for the bake of 10m0s to end · until 05:21:10 (in 9m48s), then the rollout goes on"},
		{"Halted", func(r *rollout.Record) {
			r.Phase, r.Entered, r.Wait, r.Deadline = rollout.Halted, at("05:10:22"), nil, time.Time{}
			r.Halt = &rollout.Halt{Phase: rollout.Canary, By: "alice", Why: "errors in the log", At: at("05:10:22")}
		}, "halted since 1m · in canary, by alice: errors in the log · waits for `switchd resume web` or `switchd rollback web` · without a deadline"},
		{"Done", func(r *rollout.Record) {
			r.Phase, r.Entered, r.Wait, r.Outcome = rollout.Done, at("05:10:22"), nil, "2.4.0 is live on green"
		}, "done 1m ago · 2.4.0 is live on green"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := canary()
			test.change(s.Record)
			same(t, status.Of(s).Rollout.Line(at("05:11:22")), test.want)
		})
	}
}

func TestTimeline_TellsTheWayAndWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("CET", 3600)
	var got strings.Builder
	if err := status.Timeline(&got, canary().Record, at("05:11:22").In(zone), status.Options{Facts: true}); err != nil {
		t.Fatal(err)
	}
	same(t, got.String(), `
web 2.4.0 to green, from 2.3.0 on blue, by deploy@ci (web-2.4.0-20260301T045700-0badcafe)
2026-03-01 05:57:00  queued      promoted by deploy@ci: 2.4.0 to green; live is 2.3.0 on blue
2026-03-01 05:57:01  staging     staging began
2026-03-01 06:11:11  canary      5 % of answers lead to green
                                 blue n1 runs 2.3.0: passing
canary since 12s · waits for the analysis at 5 %: errors 2 of 5 passing looks · until 06:12:10 (in 48s), then halt
`[1:])
}

func TestTimeline_OfAnEndedRolloutEndsWithItsLastEvent(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	if err := status.Timeline(&got, ended().Record, at("05:11:22"), status.Options{}); err != nil {
		t.Fatal(err)
	}
	if want := "2026-03-01 02:01:00  failed      analysis failed at 5 %: errors is 0.2\n"; !strings.HasSuffix(got.String(), want) {
		t.Errorf("got\n%s\nwant at its end\n%s", got.String(), want)
	}
	if strings.Contains(got.String(), "blue n1 runs") {
		t.Errorf("facts that nobody asked for:\n%s", got.String())
	}
}

func TestColor_ChangesNothingButTheColours(t *testing.T) {
	t.Parallel()
	doc := read(t, newReader(first(), ended(), canary()))
	var plain, colored strings.Builder
	for _, print := range []struct {
		to    *strings.Builder
		color bool
	}{{&plain, false}, {&colored, true}} {
		opts := status.Options{Color: print.color, Width: 100}
		if err := errors.Join(status.Text(print.to, doc, at("05:11:22"), opts), status.Detail(print.to, doc, at("05:11:22"), opts)); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(colored.String(), "\x1b[31m") {
		t.Error("a failing node is not red")
	}
	stripped := regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(colored.String(), "")
	same(t, stripped, plain.String())
}

func TestText_NeverSteersTheTerminalAndKeepsItsWidth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := canary()
		hostile := rapid.OneOf(rapid.String(), rapid.Just("\x1b]0;owned\a\x1b[2J\r\n\u202e<b>"), rapid.Just("\xff\xfe"))
		s.Record.Wait.For = hostile.Draw(t, "for")
		s.Record.By = hostile.Draw(t, "by")
		s.Pools[spec.Blue][2].Why = hostile.Draw(t, "why")
		s.Pools[spec.Blue][2].Version = hostile.Draw(t, "version")
		s.Record.Timeline[0].What = hostile.Draw(t, "what")
		width := rapid.IntRange(0, 200).Draw(t, "width")
		doc := status.Document{Environment: "prod", Services: []status.Service{status.Of(s)}, Replicas: []status.Replica{{Passing: true}}}

		var overview, rest strings.Builder
		if err := errors.Join(
			status.Text(&overview, doc, at("05:11:22"), status.Options{Width: width}),
			status.Detail(&rest, doc, at("05:11:22"), status.Options{}),
			status.Timeline(&rest, s.Record, at("05:11:22"), status.Options{Facts: true}),
		); err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(overview.String(), "\n") {
			if size := utf8.RuneCountInString(line); width > 0 && size > width {
				t.Fatalf("%d characters in a width of %d: %q", size, width, line)
			}
		}
		if lines := strings.Count(overview.String(), "\n"); lines != 2 {
			t.Fatalf("%d lines instead of two:\n%s", lines, overview.String())
		}
		for _, r := range overview.String() + rest.String() {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%q steers the terminal", r)
			}
		}
	})
}

func TestSpan_HasAtMostTwoUnits(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour:                      "0s",
		0:                               "0s",
		400 * time.Millisecond:          "0s",
		12 * time.Second:                "12s",
		59*time.Second + 700*1e6:        "1m",
		90 * time.Second:                "1m30s",
		2 * time.Hour:                   "2h",
		2*time.Hour + 5*time.Minute + 1: "2h5m",
		52 * time.Hour:                  "2d4h",
		48*time.Hour + 59*time.Minute:   "2d",
	} {
		if got := status.Span(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

// stuck can't be written to.
type stuck struct{}

func (stuck) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestText_TellsThatItCouldNotBeWritten(t *testing.T) {
	t.Parallel()
	err := status.Text(stuck{}, status.Document{}, at("05:11:22"), status.Options{})
	if err == nil || err.Error() != "print the status: broken pipe" {
		t.Errorf("got %v", err)
	}
}
