package alerts

import "sync"

// memory has the IDs of alerts that were resolved lately, since webhooks may
// come in any order.
type memory struct {
	mu   sync.Mutex
	ids  map[string]struct{}
	ring [4096]string // in the order in which they came
	next int
}

func (m *memory) add(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.ids[id]; known {
		return
	}
	if m.ids == nil {
		m.ids = make(map[string]struct{}, len(m.ring))
	}
	delete(m.ids, m.ring[m.next])
	m.ids[id], m.ring[m.next] = struct{}{}, id
	m.next = (m.next + 1) % len(m.ring)
}

func (m *memory) has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.ids[id]
	return known
}
