package rolling

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"switchd/consul"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

var testKeys = consul.Keys{Env: "test"}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// seen is a view of services, with whatever else is written.
func seen(t *testing.T, log *slog.Logger, orders []consul.Entry, services ...spec.Service) *view {
	t.Helper()
	v := newView("n1", map[string]string{"role": "web", "rack": "r7"})
	var specs []consul.Entry
	for _, s := range services {
		specs = append(specs, consul.Entry{Key: testKeys.Spec(s.Name), Value: encode(t, s)})
	}
	v.update(testKeys.Specs(), specs, log)
	v.update(testKeys.Orders(), orders, log)
	return v
}

func ids(orders []order) []string {
	var ids []string
	for _, o := range orders {
		if o.member {
			ids = append(ids, o.id)
		}
	}
	return ids
}

func byName(name string, blue, green spec.Pool) spec.Service {
	return spec.Service{Name: name, Pools: map[string]spec.Pool{spec.Blue: blue, spec.Green: green}}
}

func TestView_GivesNoOrdersBeforeItHasSeenEverything(t *testing.T) {
	t.Parallel()
	s := byName("web", spec.Pool{Nodes: []string{"n1"}}, spec.Pool{})
	prefixes := []string{testKeys.Specs(), testKeys.Orders()}
	for missing := range prefixes {
		v := newView("n1", nil)
		for i, prefix := range prefixes {
			if i == missing {
				continue
			}
			v.update(prefix, []consul.Entry{{Key: testKeys.Spec("web"), Value: encode(t, s)}}, slog.New(slog.DiscardHandler))
		}
		if got := v.orders(testKeys); got != nil {
			t.Errorf("without %s: got %v, want nothing", prefixes[missing], ids(got))
		}
		v.update(prefixes[missing], nil, slog.New(slog.DiscardHandler))
		if got, want := len(ids(v.orders(testKeys))), min(missing, 1); got != want {
			t.Errorf("with all, %s empty: got %d orders, want %d", prefixes[missing], got, want)
		}
	}
}

func TestView_KnowsItsPoolsByNameAndByMetadata(t *testing.T) {
	t.Parallel()
	meta := func(kv ...string) spec.Pool {
		p := spec.Pool{NodeMeta: map[string]string{}}
		for i := 0; i < len(kv); i += 2 {
			p.NodeMeta[kv[i]] = kv[i+1]
		}
		return p
	}
	v := seen(t, slog.New(slog.DiscardHandler), nil,
		byName("named", spec.Pool{Nodes: []string{"n0", "n1"}}, spec.Pool{Nodes: []string{"n2"}}),
		byName("tagged", meta("role", "db"), meta("role", "web", "rack", "r7")),
		byName("half", meta("role", "web", "rack", "r8"), meta()),
		byName("both", spec.Pool{Nodes: []string{"n1"}}, meta("role", "web")),
		byName("prefix", spec.Pool{Nodes: []string{"n", "n11"}}, spec.Pool{}),
	)
	want := []string{"named-blue", "tagged-green", "both-blue", "both-green"}
	if got := ids(v.orders(testKeys)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestView_PassesOverWhatItCannotReadAndSaysSo(t *testing.T) {
	t.Parallel()
	mine := spec.Pool{Nodes: []string{"n1"}}
	good := rollout.Order{
		Rollout: "r1", Version: "2", Stage: []string{spec.Green}, Roll: []string{spec.Green},
		Live: pools.Side{Pool: spec.Blue, Version: "1"}, Users: []string{spec.Blue},
	}
	var log bytes.Buffer
	v := seen(t, slog.New(slog.NewTextHandler(&log, nil)),
		[]consul.Entry{
			{Key: testKeys.Order("torn"), Value: []byte(`{"rollout":`)},
			{Key: testKeys.Order("good"), Value: encode(t, good)},
			{Key: testKeys.Order("newer"), Value: []byte(`{"rollout":"r9","version":"9","stage":["blue"],"levitate":true}`)},
		},
		byName("torn", mine, mine), byName("newer", mine, mine), byName("good", mine, mine))
	v.entries[testKeys.Specs()] = append(v.entries[testKeys.Specs()], consul.Entry{Key: testKeys.Spec("garbage"), Value: []byte("\x00")})

	orders := v.orders(testKeys)
	if got, want := ids(orders), []string{"newer-blue", "newer-green", "good-blue", "good-green"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if got, want := WantOf(spec.Blue, orders[0].deploy), (Want{Version: "9", Reason: "r9", Report: true}); got != want {
		t.Errorf("what another version of switchd wrote: got %+v, want %+v", got, want)
	}
	blue, green := orders[2], orders[3]
	if !blue.deploy.HasUsers(blue.pool) || green.deploy.HasUsers(green.pool) {
		t.Error("want users on blue only")
	}
	if got, want := WantOf(spec.Blue, blue.deploy), (Want{Version: "1", Roll: true, Reason: "1 is live on blue"}); got != want {
		t.Errorf("blue wants %+v, want %+v", got, want)
	}
	if got, want := WantOf(spec.Green, green.deploy), (Want{Version: "2", Roll: true, Reason: "r1", Report: true}); got != want {
		t.Errorf("green wants %+v, want %+v", got, want)
	}
	for _, name := range []string{"garbage", "torn"} {
		if !strings.Contains(log.String(), name) {
			t.Errorf("the log does not name %q: %s", name, &log)
		}
	}
}
