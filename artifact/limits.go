package artifact

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// Limits bound what an archive may unpack to. All are needed; none is
// unbounded.
type Limits struct {
	// Size is the room on disk in bytes, counted as Info.Unpacked is.
	Size int64
	// Entries is the number of files, directories and links.
	Entries int
	// Depth is the number of names in a path.
	Depth int
	// Ratio bounds the bytes unpacked by the bytes of the archive, once they
	// are more than 64 MiB: below, a bomb does no harm.
	Ratio int64
}

// DefaultLimits are wide for a release and narrow for a bomb.
func DefaultLimits() Limits {
	return Limits{Size: 64 << 30, Entries: 500_000, Depth: 64, Ratio: 1000}
}

// ErrTooLarge is the error of what goes beyond the limits.
var ErrTooLarge = errors.New("beyond the limits of a release")

// block is the unit in bytes in which room on disk is counted: every entry
// takes at least one.
const block = 4 << 10

// harmless is the size in bytes from which on the ratio is looked at.
const harmless = 64 << 20

// budget counts what a tree takes.
type budget struct {
	limits  Limits
	archive int64 // bytes of the archive, 0 if not known
	entries int
	size    int64
}

// add counts one entry of the tree before it is made or packed.
func (b *budget) add(name string, size int64) error {
	if size < 0 {
		return fmt.Errorf("%s: its size of %d bytes makes no sense", name, size)
	}
	if b.entries++; b.entries > b.limits.Entries {
		return fmt.Errorf("%s: %w: more than %d entries", name, ErrTooLarge, b.limits.Entries)
	}
	if depth := strings.Count(name, "/") + 1; depth > b.limits.Depth {
		return fmt.Errorf("%s: %w: it is %d levels deep, %d are allowed", name, ErrTooLarge, depth, b.limits.Depth)
	}
	// Compared before it is rounded, so that nothing overflows.
	if size > maxBytes || blocks(size) > b.limits.Size-b.size {
		return fmt.Errorf("%s: %w: more than %d bytes", name, ErrTooLarge, b.limits.Size)
	}
	b.size += blocks(size)
	if err := b.ratio(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// ratio looks at what is counted so far against the archive, if that is known.
func (b *budget) ratio() error {
	if b.archive > 0 && b.size > harmless && b.size/b.limits.Ratio > b.archive {
		return fmt.Errorf("%w: it unpacks to more than %d times the archive's %d bytes", ErrTooLarge, b.limits.Ratio, b.archive)
	}
	return nil
}

// blocks returns the room in bytes that something of a size takes on disk.
func blocks(size int64) int64 {
	return max(1, (size+block-1)/block) * block
}

// maxName bounds a path in an archive, in bytes, below Linux's PATH_MAX.
const maxName = 2048

// localName returns an archive's name for an entry in its clean form, "." for
// the tree itself, or an error if it is not one within the tree.
func localName(name string) (string, error) {
	clean := path.Clean(name)
	if name == "" || len(name) > maxName || strings.ContainsRune(name, 0) || !filepath.IsLocal(clean) || dotted(name) {
		return "", fmt.Errorf("%.200q is no path within a release", name)
	}
	return clean, nil
}

// dotted tells whether a path has ".." in it, even one that leads nowhere.
func dotted(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// localLink returns an error if the link at name leads out of the tree. A
// link that passes may still lead out through another one: that shows only
// in the whole tree.
func localLink(name, target string) error {
	if target == "" || len(target) > maxName || path.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(name), target)) {
		return fmt.Errorf("%s: its link to %.200q leads out of the release", name, target)
	}
	return nil
}
