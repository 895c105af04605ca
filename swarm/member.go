package swarm

import (
	"cmp"
	"context"
	"hash/fnv"
	"net/netip"
	"slices"

	"switchd/artifact"
)

// Member is a process that may take part.
type Member struct {
	Node        string         `json:"node"`
	Addr        netip.AddrPort `json:"addr"`        // where its swarm listens
	Fingerprint string         `json:"fingerprint"` // of its Identity
	Datacenter  string         `json:"datacenter,omitempty"`
	Rack        string         `json:"rack,omitempty"`
	// Has tells, where holders of an artifact are listed, that this one has
	// all of it. When in doubt it is false.
	Has bool `json:"has,omitempty"`
}

// Membership says who may take part, as it is now.
type Membership interface {
	// Member returns whose fingerprint it is, and false if it is nobody's. It is
	// asked about every peer every two seconds, so it answers from what it has
	// watched. While it has an error nobody new gets in, and nobody is shut
	// out.
	Member(ctx context.Context, fingerprint string) (Member, bool, error)
	// Holders returns who has or wants an artifact, in any order, with or
	// without this process.
	Holders(ctx context.Context, m artifact.Manifest) ([]Member, error)
}

const (
	maxPeers     = 40 // connections that a node opens for an artifact
	distantPeers = 4  // of those to other racks, so that racks don't become islands
	smallSwarm   = 8  // nodes that may all ask the first holders at once
	firstAsking  = 4  // nodes that ask them in a larger swarm
)

// position is where a node stands among those that want the same artifact. It
// is the same whoever computes it from the same members.
type position struct {
	rank, of int
	// asks tells whether the node asks those that have all.
	asks bool
}

// locate finds a node's position. Of a large swarm only a few ask the first
// holders, from as many racks as there are: were all to ask them, their
// uplink would carry the same pieces again and again. Each asks first for
// what the others don't.
func locate(self Member, holders []Member) position {
	have := 0
	wanting := []Member{self}
	for _, m := range holders {
		switch {
		case m.Fingerprint == self.Fingerprint:
		case m.Has:
			have++
		default:
			wanting = append(wanting, m)
		}
	}
	slices.SortFunc(wanting, byNode)
	if len(wanting) <= smallSwarm || have*firstAsking >= len(wanting) {
		return position{rank: rankOf(self, wanting), of: len(wanting), asks: true}
	}
	asking := spread(wanting)[:firstAsking]
	if rank := rankOf(self, asking); rank >= 0 {
		return position{rank: rank, of: len(asking), asks: true}
	}
	return position{rank: rankOf(self, wanting), of: len(wanting)}
}

// spread orders members so that the first of each rack come first, then the
// second ones.
func spread(members []Member) []Member {
	type place struct{ datacenter, rack string }
	seen := map[place]int{}
	turn := map[string]int{}
	for _, m := range members {
		at := place{m.Datacenter, m.Rack}
		turn[m.Fingerprint] = seen[at]
		seen[at]++
	}
	ordered := slices.Clone(members)
	slices.SortStableFunc(ordered, func(a, b Member) int {
		return cmp.Compare(turn[a.Fingerprint], turn[b.Fingerprint])
	})
	return ordered
}

func rankOf(m Member, members []Member) int {
	return slices.IndexFunc(members, func(o Member) bool { return o.Fingerprint == m.Fingerprint })
}

func byNode(a, b Member) int {
	return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Fingerprint, b.Fingerprint))
}

// choosePeers returns whom to connect to, at most limit: those of the same
// rack first, then of the same datacenter, then others, and a few from other
// racks in any case. Who has the whole comes first among equals. Where there are too many
// each node takes others, so that the swarm hangs together.
func choosePeers(self Member, holders []Member, limit int, asks bool) []Member {
	var near, far []Member
	for _, m := range holders {
		switch {
		case m.Fingerprint == self.Fingerprint || m.Has && !asks:
		case m.distance(self) == sameRack:
			near = append(near, m)
		default:
			far = append(far, m)
		}
	}
	order := func(a, b Member) int {
		return cmp.Or(
			cmp.Compare(a.distance(self), b.distance(self)),
			-compareBool(a.Has, b.Has),
			cmp.Compare(affinity(self, a), affinity(self, b)),
			byNode(a, b),
		)
	}
	slices.SortFunc(near, order)
	slices.SortFunc(far, order)
	distant := min(len(far), max(distantPeers, limit-len(near)), limit)
	return append(near[:min(len(near), limit-distant)], far[:distant]...)
}

const (
	sameRack = iota
	sameDatacenter
	elsewhere
)

// distance tells how far apart two members are. Racks are named within their
// datacenter; members without a rack share one.
func (m Member) distance(other Member) int {
	switch {
	case m.Datacenter != other.Datacenter:
		return elsewhere
	case m.Rack != other.Rack:
		return sameDatacenter
	}
	return sameRack
}

// affinity is a number that differs for each pair of members.
func affinity(a, b Member) uint64 {
	h := fnv.New64a()
	h.Write([]byte(a.Fingerprint))
	h.Write([]byte(b.Fingerprint))
	return h.Sum64()
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

const (
	nearRequests  = 8  // outstanding 16 KiB blocks a peer; more make nodes fetch the same from the seed
	crowdRequests = 4  // in a large swarm, where each block of queue adds up
	crowd         = 32 // nodes
	farRequests   = 32 // over the long way between datacenters, which must be filled
)

// requests returns how many blocks a node may ask of a peer ahead.
func requests(self, peer Member, wanting int) int {
	switch {
	case self.Datacenter != peer.Datacenter:
		return farRequests
	case wanting >= crowd:
		return crowdRequests
	}
	return nearRequests
}
