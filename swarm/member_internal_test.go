package swarm

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// swarms draws members, the first of which is self.
func swarms() *rapid.Generator[[]Member] {
	return rapid.Custom(func(t *rapid.T) []Member {
		n := rapid.IntRange(1, 120).Draw(t, "members")
		seeds := rapid.IntRange(0, n-1).Draw(t, "seeds")
		racks := rapid.IntRange(1, 9).Draw(t, "racks")
		all := make([]Member, n)
		for i := range all {
			all[i] = Member{
				Node:        fmt.Sprintf("n%03d", i),
				Fingerprint: hex.EncodeToString(fmt.Appendf(nil, "%032d", i)),
				Datacenter:  rapid.SampledFrom([]string{"east", "west"}).Draw(t, "datacenter"),
				Rack:        fmt.Sprint("r", rapid.IntRange(1, racks).Draw(t, "rack")),
				Has:         i >= n-seeds,
			}
		}
		return all
	})
}

func TestLocate_GivesEachNodeItsOwnShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := swarms().Draw(t, "swarm")
		taken := map[position]string{}
		asking, wanting, have := 0, 0, 0
		for _, self := range all {
			if self.Has {
				have++
				continue
			}
			wanting++
			holders := rapid.Permutation(all).Draw(t, "holders")
			at := locate(self, holders)
			if at.rank < 0 || at.rank >= at.of {
				t.Fatalf("%s is at %+v", self.Node, at)
			}
			if other, ok := taken[at]; ok {
				t.Fatalf("%s and %s are both at %+v", self.Node, other, at)
			}
			taken[at] = self.Node
			if at.asks {
				asking++
			}
		}
		switch {
		case wanting <= smallSwarm && asking != wanting:
			t.Fatalf("%d of %d ask", asking, wanting)
		case asking < min(wanting, firstAsking):
			t.Fatalf("only %d of %d ask", asking, wanting)
		case wanting > smallSwarm && have*firstAsking < wanting && asking != firstAsking:
			t.Fatalf("%d of %d ask %d", asking, wanting, have)
		}
	})
}

func TestChoosePeers_PrefersTheNearAndKeepsRacksTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := swarms().Draw(t, "swarm")
		self, limit, asks := all[0], rapid.IntRange(1, 50).Draw(t, "limit"), rapid.Bool().Draw(t, "asks")
		var can []Member
		for _, m := range all[1:] {
			if !m.Has || asks {
				can = append(can, m)
			}
		}
		got := choosePeers(self, rapid.Permutation(all).Draw(t, "holders"), limit, asks)
		if len(got) != min(limit, len(can)) {
			t.Fatalf("%d peers of %d, at most %d", len(got), len(can), limit)
		}
		near, far := 0, 0
		for i, m := range got {
			if m.Fingerprint == self.Fingerprint || m.Has && !asks {
				t.Fatalf("it takes %+v", m)
			}
			if slices.Contains(got[:i], m) {
				t.Fatalf("it takes %s twice", m.Node)
			}
			if i > 0 && m.distance(self) < got[i-1].distance(self) {
				t.Fatalf("%s comes after %s", m.Node, got[i-1].Node)
			}
			if m.distance(self) == sameRack {
				near++
			} else {
				far++
			}
		}
		allFar := 0
		for _, m := range can {
			if m.distance(self) != sameRack {
				allFar++
			}
		}
		if far < min(distantPeers, allFar, limit) {
			t.Fatalf("%d peers in other racks, of %d", far, allFar)
		}
		if allNear := len(can) - allFar; far > distantPeers && near < allNear {
			t.Fatalf("%d distant peers, though %d near ones are left out", far, allNear-near)
		}
	})
}

func TestAlias_IsOnesOwnAndReadsBack(t *testing.T) {
	t.Parallel()
	a, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	at, err := alias(a.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	other, err := alias(b.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	if at == other || !at.Addr().IsPrivate() {
		t.Errorf("aliases are %v and %v", at, other)
	}
	for _, bad := range []string{"", "xyz", a.Fingerprint()[1:], a.Fingerprint() + "00"} {
		if at, err := alias(bad); err == nil {
			t.Errorf("%q has the alias %v", bad, at)
		}
	}
}

func TestRequests_AreFewNearbyAndManyFarAway(t *testing.T) {
	t.Parallel()
	self := Member{Datacenter: "east"}
	for _, c := range []struct {
		peer    Member
		wanting int
		want    int
	}{
		{Member{Datacenter: "east", Rack: "r2"}, 8, 8},
		{Member{Datacenter: "east"}, 32, 4},
		{Member{Datacenter: "west"}, 32, 32},
	} {
		if got := requests(self, c.peer, c.wanting); got != c.want {
			t.Errorf("%+v among %d: %d, want %d", c.peer, c.wanting, got, c.want)
		}
	}
}
