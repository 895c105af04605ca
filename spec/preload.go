package spec

import "strings"

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

// inTreeRule is a pattern that can't lead out of a release.
func inTreeRule() rule {
	r := patternPathRule()
	return r.and(func(s string) bool {
		return !strings.HasPrefix(s, "/") && s != ".." && !strings.HasPrefix(s, "../") && !strings.Contains(s, "/../") && !strings.HasSuffix(s, "/..")
	})
}
