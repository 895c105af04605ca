package pagecache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// maxFiles bounds the files of a release that are preloaded.
const maxFiles = 4096

// Files are those that patterns name below a directory.
type Files struct {
	Paths []string // sorted, each once
	Bytes int64
}

// Glob returns the regular files below dir that any of the patterns matches,
// each a path relative to dir in the syntax of path.Match, such as
// "data/*.idx". No pattern and no link leads out of dir. A pattern without any
// file is an error: it was written for one.
func Glob(dir string, patterns []string) (Files, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Files{}, fmt.Errorf("find the files to preload: %w", err)
	}
	defer root.Close() //nolint:errcheck // Opened for reading.
	sizes := map[string]int64{}
	for _, pattern := range patterns {
		if err := match(root, pattern, sizes); err != nil {
			return Files{}, fmt.Errorf("find the files to preload: %q in %s: %w", pattern, dir, err)
		}
	}
	var files Files
	for name, size := range sizes {
		files.Paths = append(files.Paths, filepath.Join(dir, name))
		files.Bytes += size
	}
	slices.Sort(files.Paths)
	return files, nil
}

// match adds what one pattern matches.
func match(root *os.Root, pattern string, sizes map[string]int64) error {
	if err := CheckPattern(pattern); err != nil {
		return err
	}
	names, err := fs.Glob(root.FS(), pattern)
	if err != nil {
		return err
	}
	found := false
	for _, name := range names {
		info, err := root.Stat(name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		found = true
		sizes[name] = info.Size()
		if len(sizes) > maxFiles {
			return fmt.Errorf("more than %d files match: name fewer", maxFiles)
		}
	}
	if !found {
		return errors.New("no file matches")
	}
	return nil
}

// CheckPattern returns an error if a pattern is not one that Glob takes.
func CheckPattern(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("%w: it has a [ without its ], or ends with a backslash", err)
	}
	if !fs.ValidPath(pattern) || pattern == "." {
		return errors.New("it is no path relative to the release, such as data/*.idx: it may not start with a slash, nor have . or .. or nothing between two slashes")
	}
	return nil
}
