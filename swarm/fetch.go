package swarm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/anacrolix/torrent"

	"switchd/artifact"
)

const (
	meetInterval = 2 * time.Second        // between two looks at who has an artifact; half of it is chance
	meetOne      = 20 * time.Millisecond  // of that for each of them, so that together they ask at most 50 times a second
	tickInterval = 250 * time.Millisecond // between two looks at the progress
)

// Fetch gets an archive from the nodes that have it, or parts of it, and
// offers from the first piece on what it has. It implements
// artifact.Fetcher: the archive appears at dst when its SHA-256 is right
// (artifact.ErrDigest), and is offered from there. What an interrupted Fetch
// has left beside dst is hashed and kept, piece by piece. A disk without room
// is artifact.ErrNoRoom, before anything is sent if it can be known.
//
// When nothing comes from anybody for some seconds the origin gives what is
// missing. When it can't either, Fetch ends with the reasons after a minute.
// A manifest without an info hash comes from the origin alone.
func (s *Swarm) Fetch(ctx context.Context, m artifact.Manifest, dst string, progress func(done, total int64)) error {
	ctx, done, err := s.begin(ctx)
	if err == nil {
		defer done()
		err = s.fetch(ctx, m, dst, progress)
	}
	if err != nil {
		return fmt.Errorf("fetch %s: %w", m, noRoom(err))
	}
	return nil
}

func (s *Swarm) fetch(ctx context.Context, m artifact.Manifest, dst string, progress func(done, total int64)) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	if m.InfoHash == "" {
		return s.fromOrigin(ctx, m, dst, progress, errors.New("its manifest has no info hash"))
	}
	switch err := m.VerifyFile(ctx, dst); {
	case err == nil:
		return s.seed(ctx, m, dst)
	case errors.Is(err, artifact.ErrDigest):
		if err := os.Remove(dst); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if sh := s.share(m.SHA256); sh != nil && sh.whole.Load() {
		s.leave(sh) // What it offered is gone.
	}
	err := s.fromSwarm(ctx, m, dst, progress)
	if errors.Is(err, errNobody) {
		if err := s.fromOrigin(ctx, m, dst, progress, err); err != nil {
			return err
		}
		return s.seed(ctx, m, dst)
	}
	return err
}

// fromOrigin fetches the whole over HTTP, because of why.
func (s *Swarm) fromOrigin(ctx context.Context, m artifact.Manifest, dst string, progress func(done, total int64), why error) error {
	if s.cfg.Origin == nil {
		return fmt.Errorf("%w, and there is no origin to get it from", why)
	}
	s.cfg.Log.InfoContext(ctx, "fetch over HTTP", "service", m.Service, "version", m.Version, "reason", why.Error())
	if err := s.cfg.Origin.Fetch(ctx, m, dst, progress); err != nil {
		return fmt.Errorf("%w; over HTTP: %w", why, err)
	}
	return nil
}

// fetch is one archive on its way.
type fetch struct {
	*share

	swarm    *Swarm
	progress func(done, total int64)
	holders  []Member  // as last seen
	lookAt   time.Time // when to look again
	at       position  // among them
}

func (s *Swarm) fromSwarm(ctx context.Context, m artifact.Manifest, dst string, progress func(done, total int64)) error {
	part := dst + artifact.SwarmPartSuffix
	sh := &share{manifest: m, failed: make(chan error, 1)}
	sh.meter.start(time.Now())
	var err error
	if sh.archive, err = openPart(m, part, s.dropper(), sh.fail); err != nil {
		return err
	}
	if err := s.join(sh, nil); err != nil {
		return errors.Join(err, sh.archive.close())
	}
	f := &fetch{share: sh, swarm: s, progress: progress}
	err = f.run(ctx)
	if err == nil {
		err = sh.archive.verify(ctx)
	}
	if err == nil {
		err = sh.archive.finish(dst)
	}
	if err == nil {
		sh.torrent.DisallowDataDownload() // Its file is only read from now on.
		sh.whole.Store(true)
		select {
		case err = <-sh.failed: // Unseed came in between.
		default:
			progress(m.Size, m.Size)
			return nil
		}
	}
	s.leave(sh)
	if errors.Is(err, artifact.ErrDigest) || errors.Is(err, artifact.ErrNoRoom) {
		err = errors.Join(err, remove(part)) // Nothing of it is of use, or its room is.
	}
	return err
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// run ends when all pieces are there, or with what makes that impossible.
func (f *fetch) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel(nil)
	helpers.Go(func() { f.meet(ctx) })
	helpers.Go(func() {
		if err := f.rescue(ctx); err != nil {
			f.fail(err)
		}
	})
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-f.failed:
			return err
		case <-f.torrent.Complete().On():
			return nil
		case <-tick.C:
			f.observe()
		}
	}
}

func (f *fetch) observe() {
	stats := f.torrent.Stats()
	f.meter.observe(time.Now(), stats.BytesReadUsefulData.Int64(), stats.BytesHashed.Int64())
	f.progress(f.done(), f.manifest.Size)
}

// meet connects to those who have or want the archive, as they come and go,
// and does this node's share of what they do together.
func (f *fetch) meet(ctx context.Context) {
	info := f.torrent.GotInfo()
	var p *plan
	timer := time.NewTimer(0)
	defer timer.Stop()
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-info:
			info = nil
			f.torrent.DownloadAll()
			p = newPlan(f.torrent)
		case <-tick.C:
		case <-timer.C:
			if err := f.look(ctx); err != nil && ctx.Err() == nil {
				f.swarm.cfg.Log.WarnContext(ctx, "look for peers", "service", f.manifest.Service,
					"version", f.manifest.Version, "error", err)
			}
			f.introduce(ctx)
			timer.Reset(meetInterval/2 + rand.N(meetInterval))
		}
		if p != nil {
			p.follow(f.at)
		}
	}
}

// look finds out who has or wants the archive, the less often the more they
// are.
func (f *fetch) look(ctx context.Context) error {
	now := time.Now()
	if now.Before(f.lookAt) {
		return nil
	}
	f.lookAt = now.Add(rest(len(f.holders)))
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	holders, err := f.swarm.cfg.Members.Holders(ctx, f.manifest)
	if err != nil {
		return err
	}
	f.holders, f.at, f.lookAt = holders, locate(f.swarm.self, holders), now.Add(rest(len(holders)))
	f.wanting.Store(int64(f.at.of))
	return nil
}

// rest returns how long a look at so many holders does beyond meetInterval;
// half of it to one and a half, by chance.
func rest(holders int) time.Duration {
	more := time.Duration(holders)*meetOne - meetInterval
	if more <= 0 {
		return 0
	}
	return more/2 + rand.N(more)
}

// introduce connects to the holders that were seen last.
func (f *fetch) introduce(ctx context.Context) {
	s := f.swarm
	// Who gets nothing from the others asks for himself.
	asks := f.at.asks || f.meter.quiet(time.Now()) > stallTime/2
	var peers []torrent.PeerInfo
	for _, m := range choosePeers(s.self, f.holders, maxPeers, asks) {
		at, err := alias(m.Fingerprint)
		if err != nil || !m.Addr.IsValid() {
			s.cfg.Log.WarnContext(ctx, "a member can't be reached", "node", m.Node, "address", m.Addr.String(), "error", err)
			continue
		}
		s.links.know(at, m)
		peers = append(peers, torrent.PeerInfo{Addr: at, Source: torrent.PeerSourceDirect})
	}
	f.others.Store(int64(len(peers)))
	f.torrent.AddPeers(peers)
}
