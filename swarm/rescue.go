package swarm

import (
	"context"
	"crypto/sha1" //nolint:gosec // BitTorrent v1 pieces are SHA-1 (BEP 3).
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"switchd/artifact"
)

const (
	// stallTime is how long nothing has to come before the origin is asked,
	// and chanceTime what is added to it by chance: when the whole swarm
	// stands still, the first one to ask feeds the others.
	stallTime  = 3 * time.Second
	chanceTime = 2 * time.Second
	// strangeTime is how long peers may take to connect and to send the info
	// dictionary.
	strangeTime = 15 * time.Second
	// hopelessTime is how long nothing may come from anybody.
	hopelessTime = time.Minute
)

// errNobody is the error of a swarm in which nobody knows the archive.
var errNobody = errors.New("nobody in the swarm knows it")

// rescue gets from the origin what the swarm doesn't have, piece by piece and
// only for as long as nothing comes from peers. It takes pieces by chance, so
// that nodes which do the same have different ones to exchange.
func (f *fetch) rescue(ctx context.Context) error {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	patience := stallTime + rand.N(chanceTime)
	var lately error // why the origin didn't help
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		quiet := f.meter.quiet(time.Now())
		switch {
		case quiet < patience:
			continue
		case f.torrent.Info() == nil && f.swarm.cfg.Origin != nil:
			if f.others.Load() == 0 || quiet > strangeTime {
				return fmt.Errorf("%w: no info dictionary for %v from %d nodes", errNobody, quiet.Round(time.Second), f.others.Load())
			}
			continue
		case quiet > hopelessTime:
			return errors.Join(fmt.Errorf("nothing came for %v from %d peers", quiet.Round(time.Second), f.torrent.Stats().ActivePeers), lately)
		case f.swarm.cfg.Origin == nil:
			lately = errors.New("there is no origin to get it from")
			continue
		}
		lately = f.relieve(ctx)
		if lately != nil && ctx.Err() == nil {
			if errors.Is(lately, artifact.ErrNoRoom) {
				return lately
			}
			f.swarm.cfg.Log.WarnContext(ctx, "the swarm stands still and the origin doesn't help", "service", f.manifest.Service,
				"version", f.manifest.Version, "error", lately)
		}
		patience = stallTime + rand.N(chanceTime)
	}
}

// relieve gets pieces from the origin until one comes from a peer.
func (f *fetch) relieve(ctx context.Context) error {
	before := f.fromPeers()
	f.swarm.cfg.Log.InfoContext(ctx, "the swarm stands still, the origin is asked", "service", f.manifest.Service,
		"version", f.manifest.Version, "bytes", f.done())
	for ctx.Err() == nil && f.fromPeers() == before {
		i, ok := f.missing()
		if !ok {
			return nil
		}
		if err := f.getPiece(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (f *fetch) fromPeers() int64 {
	stats := f.torrent.Stats()
	return stats.BytesReadUsefulData.Int64()
}

// missing returns one of the pieces that are not there, by chance.
func (f *fetch) missing() (int, bool) {
	var count, chosen, index int
	for _, run := range f.torrent.PieceStateRuns() {
		if !run.Complete && !run.Checking && !run.Marking && !run.QueuedForHash {
			count += run.Length
			if rand.N(count) < run.Length {
				chosen = index + rand.N(run.Length)
			}
		}
		index += run.Length
	}
	return chosen, count > 0
}

// getPiece gets a piece from the origin and lets the library look at it.
func (f *fetch) getPiece(ctx context.Context, i int) error {
	p := f.torrent.Piece(i)
	info := p.Info()
	buf := make([]byte, info.Length())
	if err := f.swarm.cfg.Origin.ReadRange(ctx, f.manifest, buf, info.Offset()); err != nil {
		return err
	}
	f.meter.origin(info.Length())
	if err := f.swarm.gate.down.wait(ctx, len(buf)); err != nil {
		return err
	}
	if sha1.Sum(buf) != info.V1Hash().Unwrap() { //nolint:gosec // See the import.
		return fmt.Errorf("%w: piece %d from the origin", artifact.ErrDigest, i)
	}
	if _, err := (piece{f.archive, info}).WriteAt(buf, 0); err != nil {
		return err
	}
	return p.VerifyDataContext(ctx)
}
