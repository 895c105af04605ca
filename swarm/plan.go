package swarm

import (
	"math/rand/v2"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/anacrolix/torrent"
)

// plan says which pieces a node asks for first: other ones than the rest. All
// would walk through the archive in step otherwise, and wait for the same
// pieces.
type plan struct {
	torrent *torrent.Torrent
	order   []int           // of all pieces, by chance
	first   *roaring.Bitmap // as the library was told
}

func newPlan(t *torrent.Torrent) *plan {
	return &plan{torrent: t, order: rand.Perm(t.NumPieces()), first: roaring.New()}
}

// follow tells the library what has changed.
func (p *plan) follow(at position) {
	if at.of == 0 {
		return // Nobody was seen yet.
	}
	missing, held := p.look()
	first := at.first(missing, held, p.order)
	for _, i := range roaring.AndNot(first, p.first).ToArray() {
		p.torrent.Piece(int(i)).SetPriority(torrent.PiecePriorityHigh)
	}
	p.first.AndNot(first)
	for _, i := range p.first.ToArray() {
		p.torrent.Piece(int(i)).SetPriority(torrent.PiecePriorityNormal)
	}
	p.first = first
}

// look returns the pieces that are missing here, and those of them that only
// peers have who have the whole.
func (p *plan) look() (missing, held *roaring.Bitmap) {
	missing = roaring.New()
	var all uint64
	for _, run := range p.torrent.PieceStateRuns() {
		if !run.Complete {
			missing.AddRange(all, all+uint64(run.Length)) //nolint:gosec // It is positive.
		}
		all += uint64(run.Length) //nolint:gosec // It is positive.
	}
	whole, spread := roaring.New(), roaring.New()
	for _, conn := range p.torrent.PeerConns() {
		if has := conn.PeerPieces(); has.GetCardinality() < all {
			spread.Or(has)
		} else {
			whole.Or(has)
		}
	}
	held = roaring.And(missing, whole)
	held.AndNot(spread)
	return missing, held
}

// first returns what to ask for first: a node's own share, and when the first
// holders have given out that, a bit of what they still hold of the shares of
// slower nodes. Those begin at the lowest pieces, so it is taken by chance:
// what two nodes ask of a first holder at once is sent twice.
func (at position) first(missing, held *roaring.Bitmap, order []int) *roaring.Bitmap {
	first := roaring.New()
	for i := at.rank; i < len(order); i += at.of {
		first.AddInt(i)
	}
	first.And(missing)
	if first.Intersects(held) {
		return first
	}
	for more := max(minHelp, int(held.GetCardinality())/at.of); more > 0 && len(order) > 0; order = order[1:] { //nolint:gosec // As many as there are pieces.
		if held.ContainsInt(order[0]) {
			first.AddInt(order[0])
			more--
		}
	}
	return first
}

// minHelp is how many pieces a node at least asks for first that are not its
// own share, so that the first holders always have something to send.
const minHelp = 4
