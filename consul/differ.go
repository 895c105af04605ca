package consul

// Differ brings known indexes, by key, up to what was seen, and returns what
// differs: of a key that is gone an Entry with nothing but the Key.
func Differ(known map[string]uint64, seen []Entry) []Entry {
	var differs []Entry
	there := make(map[string]bool, len(seen))
	for _, e := range seen {
		there[e.Key] = true
		if known[e.Key] != e.Index {
			known[e.Key] = e.Index
			differs = append(differs, e)
		}
	}
	for key := range known {
		if !there[key] {
			delete(known, key)
			differs = append(differs, Entry{Key: key})
		}
	}
	return differs
}
