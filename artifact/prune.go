package artifact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Pruned is what a store or a stager has removed.
type Pruned struct {
	// Path is where it was, of an unpacked release or of an archive.
	Path string
	// Bytes are those of an archive; those of an unpacked release, which is
	// many files, are not counted and 0.
	Bytes int64
}

// Prune removes the archives that keep doesn't want and that nobody has stored
// or offered for minAge: the manifest of an archive is written after it is
// stored. drop, if not nil, is called with a digest right before its archive is
// removed. Uploads that nobody goes on with are removed as well.
func (s *Store) Prune(ctx context.Context, minAge time.Duration, keep func(digest string) bool, drop func(digest string)) ([]Pruned, error) {
	digests, err := s.digests()
	errs := []error{err, s.dropUploads()}
	var pruned []Pruned
	for _, digest := range digests {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		if !keep(digest) {
			one, err := s.removeOld(digest, minAge, drop)
			pruned, errs = append(pruned, one...), append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return pruned, fmt.Errorf("prune the artifact store: %w", err)
	}
	return pruned, nil
}

// digests lists the archives.
func (s *Store) digests() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var digests []string
	for _, e := range entries {
		if digestPattern.MatchString(e.Name()) {
			digests = append(digests, e.Name())
		}
	}
	return digests, nil
}

// removeOld removes an archive unless somebody has stored or offered it since.
func (s *Store) removeOld(digest string, minAge time.Duration, drop func(string)) ([]Pruned, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Lstat(s.Path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if time.Since(info.ModTime()) < minAge {
		return nil, nil
	}
	if drop != nil {
		drop(digest)
	}
	if err := os.Remove(s.Path(digest)); err != nil {
		return nil, err
	}
	return []Pruned{{Path: s.Path(digest), Bytes: info.Size()}}, nil
}

// touch tells whether an archive is there, and keeps it from being pruned for
// a while.
func (s *Store) touch(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	return s.Has(digest) && os.Chtimes(s.Path(digest), now, now) == nil
}

// dropUploads removes the uploads that nobody goes on with.
func (s *Store) dropUploads() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	uploads, err := s.uploads()
	errs := []error{err}
	for _, u := range uploads {
		if time.Since(u.ModTime()) > keepUpload && !s.uploading[strings.TrimSuffix(u.Name(), uploadSuffix)] {
			errs = append(errs, os.Remove(filepath.Join(s.dir, u.Name())))
		}
	}
	return errors.Join(errs...)
}

// Staged is a release that is unpacked on this node.
type Staged struct {
	Service string
	Version string
	// Digest is the beginning of the archive's SHA-256, as in Stager.Dir.
	Digest string
	Dir    string
	// Wanted is when it was last staged, or asked for.
	Wanted time.Time
}

// stagedPattern takes the name of an unpacked release apart.
var stagedPattern = regexp.MustCompile(`\A(.+)-([0-9a-f]{12})\z`)

// Staged lists the unpacked releases, by service, the one that was wanted last
// first.
func (s *Stager) Staged() ([]Staged, error) {
	services, err := os.ReadDir(s.root)
	if err != nil {
		return nil, fmt.Errorf("list the releases: %w", err)
	}
	var staged []Staged
	for _, service := range services {
		if !service.IsDir() || !servicePattern.MatchString(service.Name()) {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(s.root, service.Name()))
		if err != nil {
			return nil, fmt.Errorf("list the releases: %w", err)
		}
		for _, e := range entries {
			name := stagedPattern.FindStringSubmatch(e.Name())
			if name == nil || !versionPattern.MatchString(name[1]) || !e.IsDir() {
				continue
			}
			if info, err := e.Info(); err == nil { // It may have been removed meanwhile.
				staged = append(staged, Staged{
					Service: service.Name(), Version: name[1], Digest: name[2],
					Dir: filepath.Join(s.root, service.Name(), e.Name()), Wanted: info.ModTime(),
				})
			}
		}
	}
	slices.SortFunc(staged, func(a, b Staged) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), b.Wanted.Compare(a.Wanted), cmp.Compare(a.Dir, b.Dir))
	})
	return staged, nil
}

// Retention says what a node keeps of the releases that it has staged.
type Retention struct {
	// Needed tells whether a release runs on this node, ran before the one
	// that does, or is to run. It is asked right before a release is removed.
	Needed func(Staged) bool
	// Published tells whether a release's manifest is there. While that can't
	// be found out, it says yes.
	Published func(Staged) bool
	// Newest is how many of a service's published releases are kept in any
	// case, those that were wanted last; 0 means 3.
	Newest int
	// MinAge is how long a release stays that was staged or asked for, so that
	// whoever did so has the time to need it; 0 means an hour.
	MinAge time.Duration
	// Drop, if not nil, is called with a digest right before its archive is
	// removed.
	Drop func(digest string)
}

const (
	defaultNewest = 3
	defaultMinAge = time.Hour
)

// Prune removes the unpacked releases that are not to be kept, and the archives
// of which no unpacked release is left. A crash leaves a release whole, or out
// of the way until the next start removes the rest.
func (s *Stager) Prune(ctx context.Context, r Retention) ([]Pruned, error) {
	r.Newest, r.MinAge = cmp.Or(r.Newest, defaultNewest), cmp.Or(r.MinAge, defaultMinAge)
	staged, err := s.Staged()
	if err != nil {
		return nil, err
	}
	var pruned []Pruned
	var errs []error
	kept := make(map[string]bool)  // by the beginning of the digest
	newest := make(map[string]int) // by service
	for _, release := range staged {
		if err := ctx.Err(); err != nil {
			return pruned, fmt.Errorf("prune the releases: %w", err)
		}
		if r.Published(release) && newest[release.Service] < r.Newest {
			newest[release.Service]++
			kept[release.Digest] = true
			continue
		}
		removed, err := s.prune(release, r)
		if removed {
			pruned = append(pruned, Pruned{Path: release.Dir})
		} else {
			kept[release.Digest] = true
		}
		errs = append(errs, err)
	}
	digests, err := s.archives.digests()
	errs = append(errs, err, s.archives.dropUploads())
	for _, digest := range digests {
		if kept[short(digest)] || ctx.Err() != nil {
			continue
		}
		if done, ok := s.tryTurn(short(digest)); ok {
			one, err := s.archives.removeOld(digest, r.MinAge, r.Drop)
			done()
			pruned, errs = append(pruned, one...), append(errs, err)
		}
	}
	parts, err := s.dropParts(r.MinAge)
	pruned = append(pruned, parts...)
	if err := errors.Join(append(errs, err, ctx.Err())...); err != nil {
		return pruned, fmt.Errorf("prune the releases: %w", err)
	}
	return pruned, nil
}

// dropParts removes what fetches that were given up have left: each has the
// room of a whole archive.
func (s *Stager) dropParts(minAge time.Duration) ([]Pruned, error) {
	entries, err := os.ReadDir(s.archives.dir)
	if err != nil {
		return nil, err
	}
	var pruned []Pruned
	var errs []error
	for _, e := range entries {
		digest, suffix, _ := strings.Cut(e.Name(), ".")
		if suffix = "." + suffix; suffix != partSuffix && suffix != SwarmPartSuffix || !digestPattern.MatchString(digest) || !olderThan(e, minAge) {
			continue
		}
		done, free := s.tryTurn(short(digest))
		if !free {
			continue // somebody goes on with it
		}
		path := filepath.Join(s.archives.dir, e.Name())
		if err := os.Remove(path); err != nil {
			errs = append(errs, err)
		} else {
			pruned = append(pruned, Pruned{Path: path})
		}
		done()
	}
	return pruned, errors.Join(errs...)
}

// prune removes an unpacked release that nobody stages or needs.
func (s *Stager) prune(release Staged, r Retention) (bool, error) {
	done, ok := s.tryTurn(release.Digest)
	if !ok {
		return false, nil
	}
	defer done()
	info, err := os.Lstat(release.Dir)
	if err != nil || time.Since(info.ModTime()) < r.MinAge || r.Needed(release) {
		return false, err
	}
	// A directory that is half removed must not look whole.
	away, err := os.MkdirTemp(filepath.Dir(release.Dir), tempPrefix)
	if err != nil {
		return false, fmt.Errorf("make a directory to remove %s in: %w", release.Dir, err)
	}
	if err := os.Rename(release.Dir, filepath.Join(away, filepath.Base(release.Dir))); err != nil {
		return false, errors.Join(err, os.Remove(away))
	}
	return true, removeTree(away)
}

// removeTree removes a release, of which directories may forbid to.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(path, 0o700) //nolint:gosec // It is a directory, and ours.
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}

// tryTurn is turn for one who doesn't wait.
func (s *Stager) tryTurn(digest string) (done func(), ok bool) {
	lock, _ := s.turns.LoadOrStore(digest, make(chan struct{}, 1))
	turn := lock.(chan struct{}) // Nothing else is stored.
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, true
	default:
		return nil, false
	}
}

// short is the beginning of a digest that is in a release's directory name.
func short(digest string) string { return digest[:min(12, len(digest))] }
