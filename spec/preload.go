package spec

import "io/fs"

// Preload names files of a release that are in memory before it is started.
type Preload struct {
	Kind string `json:"kind"` // PreloadCache or PreloadLock
	// Files are patterns of paths below the unpacked release, as Go's
	// path.Match has them.
	Files []string `json:"files"`
}

const (
	// PreloadCache reads the files into the page cache.
	PreloadCache = "cache"
	// PreloadLock locks the files in memory (mlock(2)).
	PreloadLock = "lock"
)

func (p *Preload) form() form {
	return form{attrs: []attr{
		texts("files", &p.Files, inTreeRule(), true).must(),
	}}
}

// inTreeRule is a pattern that can't lead out of a release, in the one way in
// which nodes take it (fs.ValidPath): "./data" or "data//x" would be refused
// there.
func inTreeRule() rule {
	return patternPathRule().and(func(s string) bool { return fs.ValidPath(s) && s != "." })
}
