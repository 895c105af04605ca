package notify

// What tests look at from outside.
var (
	Scrub = scrub
	Tame  = tame
	Parse = parse
	Kinds = kinds
)

// Err is what was wrong with the file at the last look, nil if nothing was.
func (f *File) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looks
}
