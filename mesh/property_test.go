package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"pgregory.net/rapid"

	"switchd/consul"
	"switchd/mesh"
	"switchd/pools"
	"switchd/spec"
)

func drawLive(t *rapid.T) *pools.Live {
	live := &pools.Live{
		Service: "shop", Version: "1", Generation: rapid.Uint64Range(1, 9).Draw(t, "generation"),
		Pool: rapid.SampledFrom([]string{spec.Blue, spec.Green}).Draw(t, "pool"),
	}
	if share := rapid.IntRange(-1, 100).Draw(t, "share"); share >= 0 {
		live.Weights = map[string]int{spec.Blue: share, spec.Green: 100 - share}
	}
	return live
}

func drawMeta(t *rapid.T) map[string]string {
	meta := map[string]string{}
	for _, key := range []string{mesh.MetaGeneration, "team"} {
		if rapid.Bool().Draw(t, "has "+key) {
			meta[key] = rapid.SampledFrom([]string{"1", "2", "x"}).Draw(t, key)
		}
	}
	if env := rapid.SampledFrom([]string{"", "prod", "prod", "prod", "staging"}).Draw(t, "env"); env != "" {
		meta[mesh.MetaEnv] = env
	}
	return meta
}

func drawHeld(t *rapid.T) mesh.Held {
	held := mesh.Held{Protocol: rapid.SampledFrom([]string{"tcp", "http", "grpc"}).Draw(t, "protocol of all")}
	subset := rapid.SampledFrom([]string{"", spec.Blue, spec.Green, "v1"})
	if rapid.Bool().Draw(t, "a resolver") {
		held.Resolver = api.ServiceResolverConfigEntry{
			Kind: api.ServiceResolver, Name: "web", Meta: drawMeta(t), ModifyIndex: 11, DefaultSubset: subset.Draw(t, "default"),
			ConnectTimeout: time.Duration(rapid.IntRange(0, 3).Draw(t, "timeout")) * time.Second,
		}
		if name := subset.Draw(t, "subset"); name != "" {
			held.Resolver.Subsets = map[string]api.ServiceResolverSubset{name: {OnlyPassing: true}}
		}
		if rapid.Bool().Draw(t, "redirected") {
			held.Resolver.Redirect = &api.ServiceResolverRedirect{Service: "db"}
		}
	}
	if rapid.Bool().Draw(t, "a splitter") {
		held.Splitter = api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: "web", Meta: drawMeta(t), ModifyIndex: 12}
		for range rapid.IntRange(1, 2).Draw(t, "splits") {
			held.Splitter.Splits = append(held.Splitter.Splits, api.ServiceSplit{Weight: float32(rapid.IntRange(0, 100).Draw(t, "weight")), ServiceSubset: subset.Draw(t, "to")})
		}
	}
	if rapid.Bool().Draw(t, "defaults") {
		held.Defaults = api.ServiceConfigEntry{
			Kind: api.ServiceDefaults, Name: "web", Meta: drawMeta(t), ModifyIndex: 13, MaxInboundConnections: 7,
			Protocol: rapid.SampledFrom([]string{"", "tcp", "http", "grpc"}).Draw(t, "protocol"),
		}
	}
	return held
}

// drawEdit is what somebody makes of entries that are right.
func drawEdit(t *rapid.T, want mesh.Entries) mesh.Held {
	held, resolver := drawHeld(t), *want.Resolver
	resolver.ModifyIndex, held.Resolver = 11, resolver
	if held.Splitter = (api.ServiceSplitterConfigEntry{}); want.Splitter != nil {
		held.Splitter = *want.Splitter
		held.Splitter.ModifyIndex = 12
	}
	switch rapid.IntRange(0, 5).Draw(t, "edit") {
	case 0:
		held.Resolver.Redirect = &api.ServiceResolverRedirect{Service: "db"}
	case 1:
		held.Resolver.DefaultSubset = spec.Other(resolver.DefaultSubset)
	case 2:
		held.Resolver.Subsets = map[string]api.ServiceResolverSubset{spec.Blue: resolver.Subsets[spec.Blue], spec.Green: {}}
	case 3:
		held.Splitter.ModifyIndex, held.Splitter.Splits = 12, []api.ServiceSplit{{Weight: 100, ServiceSubset: spec.Other(resolver.DefaultSubset)}}
	case 4:
		held.Resolver.Meta = map[string]string{mesh.MetaEnv: "prod", mesh.MetaGeneration: "77"}
	}
	return held
}

func TestDerive_SharesOutAllAndNothingToAPoolWithoutAShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		live := drawLive(t)
		e := mesh.Derive("prod", live, spec.Service{Name: "shop", Mesh: &spec.Mesh{Service: "web", Protocol: "http"}})
		if e.Resolver.DefaultSubset != live.Pool || len(e.Resolver.Subsets) != 2 || e.Resolver.Meta[mesh.MetaGeneration] != strconv.FormatUint(live.Generation, 10) {
			t.Fatalf("got %+v", e.Resolver)
		}
		if (e.Splitter != nil) != (len(live.Weights) > 0) {
			t.Fatalf("of %v came %+v", live.Weights, e.Splitter)
		}
		if e.Splitter == nil {
			return
		}
		sum := float32(0)
		for _, s := range e.Splitter.Splits {
			if s.Weight <= 0 || s.Weight != float32(live.Share(s.ServiceSubset)) || e.Resolver.Subsets[s.ServiceSubset].Filter == "" {
				t.Fatalf("of %v came %+v", live.Weights, s)
			}
			sum += s.Weight
		}
		if sum != 100 {
			t.Fatalf("the weights add up to %v", sum)
		}
	})
}

func TestSteps_MakeAnythingRightAtOnceAndTouchNothingElse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := spec.Service{Name: "shop", Mesh: &spec.Mesh{Service: "web", Protocol: rapid.SampledFrom([]string{"", "tcp", "http"}).Draw(t, "wanted protocol")}}
		want := mesh.Derive("prod", drawLive(t), s)
		held := drawHeld(t)
		if rapid.Bool().Draw(t, "nearly right") {
			held = drawEdit(t, want)
		}
		steps, wrong := want.Steps(held)

		resolver, splitter := held.Resolver.Meta[mesh.MetaEnv], held.Splitter.Meta[mesh.MetaEnv]
		others := resolver == "staging" || splitter == "staging" || held.Splitter.ModifyIndex != 0 && resolver == "" && splitter == ""
		if others {
			if _, ok := errors.AsType[*mesh.ForeignError](wrong); !ok || len(steps) > 0 {
				t.Fatalf("of somebody else's entries it writes %s: %v", kinds(steps), wrong)
			}
			return
		}
		now := held
		for _, step := range steps {
			switch entry := step.Write.(type) {
			case *api.ServiceResolverConfigEntry:
				check(t, step.Index == held.Resolver.ModifyIndex && entry.ConnectTimeout == held.Resolver.ConnectTimeout, "the resolver")
				keeps(t, held.Resolver.Meta, entry.Meta)
				now.Resolver = *entry
			case *api.ServiceSplitterConfigEntry:
				check(t, step.Index == held.Splitter.ModifyIndex && now.Resolver.DefaultSubset == want.Resolver.DefaultSubset, "the splitter")
				keeps(t, held.Splitter.Meta, entry.Meta)
				now.Splitter = *entry
			case *api.ServiceConfigEntry:
				check(t, step.Index == held.Defaults.ModifyIndex && entry.MaxInboundConnections == held.Defaults.MaxInboundConnections, "the defaults")
				check(t, step.Index == 0 || held.Defaults.Meta[mesh.MetaEnv] == "prod", "somebody else's defaults")
				now.Defaults = *entry
			default:
				check(t, step.Kind == api.ServiceSplitter && step.Index == held.Splitter.ModifyIndex && want.Splitter == nil, "a deletion")
				now.Splitter = api.ServiceSplitterConfigEntry{}
			}
		}
		if now.Defaults.Protocol != "" {
			now.Protocol = now.Defaults.Protocol
		}
		if now.Resolver.DefaultSubset != want.Resolver.DefaultSubset || now.Resolver.Redirect != nil || !maps.Equal(now.Resolver.Subsets, want.Resolver.Subsets) {
			t.Fatalf("the resolver is %+v", now.Resolver)
		}
		switch {
		case wrong != nil: // the protocol is somebody else's; what Consul can't split isn't
			check(t, held.Defaults.Meta[mesh.MetaEnv] != "prod" && s.Mesh.Protocol != "", "a protocol of its own")
		case want.Splitter == nil:
			check(t, len(now.Splitter.Splits) == 0, "the splitter is still there")
		default:
			check(t, fmt.Sprint(now.Splitter.Splits) == fmt.Sprint(want.Splitter.Splits), "the splitter")
		}
		// Entries get an index by being written.
		now.Resolver.ModifyIndex, now.Defaults.ModifyIndex = 1, 1
		if now.Defaults.Kind == "" {
			now.Defaults.ModifyIndex = 0
		}
		if more, again := want.Steps(now); len(more) > 0 || (again == nil) != (wrong == nil) {
			t.Fatalf("once they are right, it writes %s: %v, then %v", kinds(more), wrong, again)
		}
	})
}

func check(t *rapid.T, ok bool, what string) {
	t.Helper()
	if !ok {
		t.Fatalf("%s: it is not as it should be", what)
	}
}

func keeps(t *rapid.T, have, next map[string]string) {
	t.Helper()
	if have["team"] != next["team"] {
		t.Fatalf("metadata of others is gone: %v, was %v", next, have)
	}
}

// model is Consul, as far as derivations go. Each of their calls waits for its
// turn, so that a test can have them meet in any order.
type model struct {
	index    uint64
	resolver *api.ServiceResolverConfigEntry
	splitter *api.ServiceSplitterConfigEntry
	live     *pools.Live
	wrong    error // a write that went back in time
	begun    []*turn
}

// turn is one derivation's sight of the model.
type turn struct {
	*model

	next chan struct{} // lets one call happen
	did  chan struct{} // it has
	dead chan struct{} // closed when the process is killed
	done chan struct{} // closed when the derivation has ended
}

var errKilled = errors.New("killed")

// call does one call when it is its turn.
func (c *turn) call(do func() error) error {
	select {
	case <-c.next:
		defer func() { c.did <- struct{}{} }()
		return do()
	case <-c.dead:
		return errKilled
	}
}

func (c *turn) Service(context.Context, string) (spec.Service, error) {
	return spec.Service{Name: "shop", Mesh: &spec.Mesh{Service: "web"}}, nil
}

func (c *turn) Live(context.Context, string) (live *pools.Live, err error) {
	err = c.call(func() error {
		live = c.live
		return nil
	})
	return live, err
}

func (c *turn) Chain(context.Context, string) (*api.CompiledDiscoveryChain, error) {
	return &api.CompiledDiscoveryChain{Protocol: "http"}, nil
}

func (c *turn) ConfigEntry(_ context.Context, kind, _ string) (entry api.ConfigEntry, err error) {
	if kind == api.ServiceDefaults {
		return nil, nil
	}
	err = c.call(func() error {
		switch {
		case kind == api.ServiceResolver && c.resolver != nil:
			entry = c.resolver
		case kind == api.ServiceSplitter && c.splitter != nil:
			entry = c.splitter
		}
		return nil
	})
	return entry, err
}

func (c *turn) WriteConfigEntry(_ context.Context, entry api.ConfigEntry, index uint64) error {
	return c.call(func() error {
		c.index++
		switch e := entry.(type) {
		case *api.ServiceResolverConfigEntry:
			if (c.resolver == nil && index != 0) || (c.resolver != nil && c.resolver.ModifyIndex != index) {
				return consul.ErrConflict
			}
			if c.resolver != nil && c.resolver.Meta[mesh.MetaGeneration] > e.Meta[mesh.MetaGeneration] {
				c.wrong = fmt.Errorf("generation %s was put over %s", e.Meta[mesh.MetaGeneration], c.resolver.Meta[mesh.MetaGeneration])
			}
			next := *e
			next.ModifyIndex, c.resolver = c.index, &next
		case *api.ServiceSplitterConfigEntry:
			if (c.splitter == nil && index != 0) || (c.splitter != nil && c.splitter.ModifyIndex != index) {
				return consul.ErrConflict
			}
			next := *e
			next.ModifyIndex, c.splitter = c.index, &next
		}
		return nil
	})
}

func (c *turn) DeleteConfigEntry(_ context.Context, _, _ string, index uint64) error {
	return c.call(func() error {
		if c.splitter == nil || c.splitter.ModifyIndex != index {
			return consul.ErrConflict
		}
		c.splitter = nil
		return nil
	})
}

// change writes another live record.
func (m *model) change(pool string, shared bool) {
	live := m.live.Next("test", time.Time{})
	live.Service, live.Pool, live.Version = "shop", pool, "1"
	if shared {
		live.Weights = map[string]int{spec.Blue: 50, spec.Green: 50}
	}
	m.live = live
}

// begin begins a derivation, which does nothing until it is its turn.
func (m *model) begin() *turn {
	c := &turn{model: m, next: make(chan struct{}), did: make(chan struct{}), dead: make(chan struct{}), done: make(chan struct{})}
	m.begun = append(m.begun, c)
	go func() {
		defer close(c.done)
		_, _ = (&mesh.Deriver{Env: "prod", Source: c, Store: c}).Derive(context.Background(), "shop") // it may be killed
	}()
	return c
}

// kill ends the process, between two calls.
func (c *turn) kill() {
	select {
	case <-c.dead:
	default:
		close(c.dead)
	}
	<-c.done
}

// step lets one call of the derivation happen, and tells whether that was all.
func (c *turn) step() bool {
	select {
	case c.next <- struct{}{}:
		<-c.did
		return false
	case <-c.done:
		return true
	}
}

// finish lets the derivation go on to its end.
func (c *turn) finish() {
	for !c.step() {
	}
}

// end ends all processes.
func (m *model) end() {
	for _, c := range m.begun {
		c.kill()
	}
}

// right tells whether the entries say what the live record says.
func (m *model) right() bool {
	if m.live == nil {
		return m.resolver == nil
	}
	same := m.resolver != nil && m.resolver.DefaultSubset == m.live.Pool && m.resolver.Meta[mesh.MetaGeneration] == fmt.Sprint(m.live.Generation)
	if len(m.live.Weights) == 0 {
		return same && m.splitter == nil
	}
	return same && m.splitter != nil && m.splitter.Meta[mesh.MetaGeneration] == fmt.Sprint(m.live.Generation)
}

// Whoever derives, in whatever order their calls meet, and whoever of them is
// killed: an older record is never put over a newer one, and in the end the
// entries are right. If nobody is killed, no other one has to come for that.
func TestDerive_NeverGoesBackAndEndsRightInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var m model
		var all []*turn
		defer m.end() // also a run that is given up
		changes, killed := rapid.IntRange(2, 6).Draw(t, "changes"), false
		for changes > 0 || len(all) > 0 {
			if len(all) == 0 || changes > 0 && rapid.IntRange(0, 3).Draw(t, "another record") == 2 {
				changes--
				m.change(rapid.SampledFrom([]string{spec.Blue, spec.Green}).Draw(t, "pool"), rapid.Bool().Draw(t, "shared"))
				all = append(all, m.begin())
			}
			// Most calls in a row are those of one process.
			i := rapid.IntRange(0, len(all)-1).Draw(t, "whose turn")
			over := rapid.IntRange(0, 30).Draw(t, "killed") == 17
			if over {
				killed = true
				all[i].kill()
			}
			for range rapid.IntRange(1, 12).Draw(t, "calls") {
				over = over || all[i].step()
			}
			if over {
				all = append(all[:i], all[i+1:]...)
			}
		}
		if killed {
			m.begin().finish()
		}
		if m.wrong != nil || !m.right() {
			t.Fatalf("%v; live is %+v, the resolver %+v, the splitter %+v", m.wrong, m.live, m.resolver, m.splitter)
		}
	})
}

// A splitter that isn't there has no index, by which a newer record would fence
// off the one who is about to make it.
func TestDerive_TakesBackASplitThatCameTooLate(t *testing.T) {
	t.Parallel()
	var m model
	defer m.end()
	m.change(spec.Blue, false)
	m.begin().finish()
	m.change(spec.Blue, true)
	late := m.begin()
	for m.resolver.Meta[mesh.MetaGeneration] != "2" {
		late.step()
	}
	m.change(spec.Blue, false)
	m.begin().finish()
	late.step()
	if m.splitter == nil {
		t.Fatal("this is not the order that it is about")
	}
	late.finish()
	if !m.right() {
		t.Errorf("live is %+v, the splitter %+v", m.live, m.splitter)
	}
}
