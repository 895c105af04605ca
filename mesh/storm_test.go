package mesh_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/mesh"
	"switchd/spec"
)

// contested are entries that somebody else changes before each write.
type contested struct{ writes int }

func (*contested) ConfigEntry(context.Context, string, string) (api.ConfigEntry, error) {
	return nil, nil //nolint:nilnil // as Consul's client has it
}

func (*contested) Chain(context.Context, string) (*api.CompiledDiscoveryChain, error) {
	return &api.CompiledDiscoveryChain{Protocol: "http"}, nil
}

func (c *contested) WriteConfigEntry(context.Context, api.ConfigEntry, uint64) error {
	c.writes++
	return consul.ErrConflict
}

func (*contested) DeleteConfigEntry(context.Context, string, string, uint64) error { return nil }

// TestDerive_LeavesConsulInPeaceWhileSomebodyElseWrites: it gives up in the end,
// long before a look's time is over, and in between it waits longer and longer.
func TestDerive_LeavesConsulInPeaceWhileSomebodyElseWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{spec: spec.Service{Name: "shop", Mesh: &spec.Mesh{Service: "web"}}}
		s.lead(spec.Blue, 0)
		store := &contested{}
		began := time.Now()
		_, err := (&mesh.Deriver{Env: "prod", Source: s, Store: store}).Derive(t.Context(), "shop")
		if err == nil || !strings.Contains(err.Error(), "look for who else writes them") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); store.writes != 20 || took < 2*time.Second || took > 5*time.Second {
			t.Errorf("%d writes in %s", store.writes, took)
		}
	})
}
