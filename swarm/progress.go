package swarm

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Progress is how far a node is with an artifact.
type Progress struct {
	Service, Version, SHA256 string

	Done, Total int64         // bytes
	Rate        int64         // bytes a second that arrive, from peers and origins, over the last seconds
	Left        time.Duration // until all is there at this rate; 0 if that can't be told, or if it is there
	Sent        int64         // bytes of the archive given to peers
	Peers       int           // connections
	Seeding     bool          // all is there, verified, and offered
	Quiet       time.Duration // how long nothing has come, while something is missing
	FromOrigin  int64         // bytes that had to come over HTTP
}

// Progress returns all artifacts that are fetched or offered, by service and
// version.
func (s *Swarm) Progress() []Progress {
	s.mu.Lock()
	shares := make([]*share, 0, len(s.shares))
	for _, sh := range s.shares {
		shares = append(shares, sh)
	}
	s.mu.Unlock()
	all := make([]Progress, 0, len(shares))
	for _, sh := range shares {
		all = append(all, sh.progress())
	}
	slices.SortFunc(all, func(a, b Progress) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Version, b.Version), cmp.Compare(a.SHA256, b.SHA256))
	})
	return all
}

func (sh *share) progress() Progress {
	m := sh.manifest
	stats := sh.torrent.Stats()
	p := Progress{
		Service: m.Service, Version: m.Version, SHA256: m.SHA256,
		Done: m.Size, Total: m.Size,
		Sent:    stats.BytesWrittenData.Int64(),
		Peers:   stats.ActivePeers,
		Seeding: sh.whole.Load(),
	}
	p.Rate, p.Quiet, p.FromOrigin = sh.meter.read(time.Now())
	if p.Seeding {
		p.Rate, p.Quiet = 0, 0
		return p
	}
	p.Done = sh.done()
	if p.Rate > 0 {
		p.Left = time.Duration(float64(p.Total-p.Done) / float64(p.Rate) * float64(time.Second))
	}
	return p
}

// done returns the bytes of the archive that are there.
func (sh *share) done() int64 {
	if sh.torrent.Info() == nil {
		return 0
	}
	return sh.torrent.BytesCompleted()
}

// window is the time over which a rate is taken.
const window = 5 * time.Second

// meter tells how fast bytes come, and when the last one came.
type meter struct {
	mu         sync.Mutex
	samples    []sample // not older than the window, but for the first
	moved      time.Time
	checked    int64 // bytes that were hashed
	fromOrigin int64
}

type sample struct {
	at    time.Time
	bytes int64
}

// start begins to count.
func (m *meter) start(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moved, m.samples = now, []sample{{now, 0}}
}

// observe takes what has come from peers so far, and what has been hashed:
// who still looks at what an earlier run has left, doesn't stand still.
func (m *meter) observe(now time.Time, fromPeers, checked int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	bytes := fromPeers + m.fromOrigin
	if bytes > m.samples[len(m.samples)-1].bytes || checked > m.checked {
		m.moved, m.checked = now, checked
	}
	m.samples = append(m.samples, sample{now, bytes})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) > window {
		m.samples = m.samples[1:]
	}
}

// origin counts bytes that came over HTTP.
func (m *meter) origin(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fromOrigin += n
}

// quiet returns how long nothing has moved.
func (m *meter) quiet(now time.Time) time.Duration {
	_, quiet, _ := m.read(now)
	return quiet
}

func (m *meter) read(now time.Time) (rate int64, quiet time.Duration, fromOrigin int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.samples) == 0 {
		return 0, 0, m.fromOrigin
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	if span := now.Sub(first.at); span > 0 {
		rate = int64(float64(last.bytes-first.bytes) / span.Seconds())
	}
	return rate, now.Sub(m.moved), m.fromOrigin
}
