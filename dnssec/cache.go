package dnssec

import (
	"crypto/sha256"
	"sync"
)

// digest is the SHA-256 of an RRset in canonical form.
type digest [sha256.Size]byte

// signatures are those of one RRset in one period, by all keys that sign it.
type signatures struct {
	period period
	texts  []string // in base64, in the order of the keys
}

// cache keeps the signatures that were used last. It has two generations:
// when the young one is full the old one is forgotten, but for what was asked
// for meanwhile.
type cache struct {
	mu         sync.Mutex
	limit      int // of a generation
	young, old map[digest]signatures
}

func newCache(limit int) *cache {
	return &cache{limit: limit, young: make(map[digest]signatures)}
}

// get returns the signatures of a period.
func (c *cache) get(d digest, p period) (signatures, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, found := c.young[d]
	if !found {
		if s, found = c.old[d]; found && s.period == p {
			c.add(d, s)
		}
	}
	return s, found && s.period == p
}

// put keeps signatures, in place of those of another period.
func (c *cache) put(d digest, s signatures) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(d, s)
}

func (c *cache) add(d digest, s signatures) {
	if _, known := c.young[d]; !known && len(c.young) >= c.limit {
		c.old, c.young = c.young, make(map[digest]signatures)
	}
	c.young[d] = s
}

// reserve makes room for a number of RRsets at least.
func (c *cache) reserve(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = max(c.limit, n)
}

// size is the number of RRsets whose signatures are kept.
func (c *cache) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.young) + len(c.old)
}
