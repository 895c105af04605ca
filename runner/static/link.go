package static

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"switchd/durable"
	"switchd/runner"
	"switchd/runner/record"
)

// place is where an instance's link, content and notes are.
type place struct{ link, dir, state string }

func placeOf(inst runner.Instance) (place, error) {
	link := inst.Settings[LinkSetting]
	switch {
	case link == "":
		return place{}, fmt.Errorf("the setting %q is missing: the absolute path of the symbolic link that is served", LinkSetting)
	case !absolute(link) || link == "/":
		return place{}, fmt.Errorf("%s = %q: want an absolute path without . and .. and without a final slash", LinkSetting, link)
	case inst.User != "" || len(inst.Limits) > 0:
		return place{}, errors.New("a static runtime starts no process of its own, which a user or limits could be set for; set them where the server is configured")
	case inst.Dir == "":
		return place{}, errors.New("the instance has no directory")
	}
	dir, err := filepath.Abs(inst.Dir)
	if err != nil {
		return place{}, fmt.Errorf("find the release: %w", err)
	}
	state, err := record.Path(inst.LogFile, kind)
	if err != nil {
		return place{}, err
	}
	return place{link: link, dir: dir, state: state}, nil
}

// former returns what is written in the link, or nothing if there is none,
// and refuses to touch anything that is not a link.
func (p place) former() (string, error) {
	former, err := os.Readlink(p.link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case errors.Is(err, syscall.EINVAL):
		return "", fmt.Errorf("%s is in the way: a file or directory, not a symbolic link; move it away, or choose another %s", p.link, LinkSetting)
	case err != nil:
		return "", fmt.Errorf("read the link: %w", err)
	}
	return former, nil
}

// targetOf returns the absolute path that a link leads to, or nothing if there
// is no link. Links on the way are not followed: what Start writes is absolute.
func targetOf(link string) (string, error) {
	target, err := os.Readlink(link)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOTDIR):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read the link: %w", err)
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(link), target)
	}
	return filepath.Clean(target), nil
}

// temporary is the name under which a link's successor is made. It is always
// the same, so that kills in the middle leave one at most.
func temporary(link string) string {
	return filepath.Join(filepath.Dir(link), "."+filepath.Base(link)+".switchd")
}

// point replaces the link by a rename, which rename(2) promises to be atomic,
// and makes that durable.
func point(link, target string) error {
	temp := temporary(link)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace the link: %w", err)
	}
	if err := os.Symlink(target, temp); err != nil {
		return fmt.Errorf("replace the link: %w", err)
	}
	if err := os.Rename(temp, link); err != nil {
		return errors.Join(fmt.Errorf("replace the link: %w", err), os.Remove(temp))
	}
	return durable.SyncDir(filepath.Dir(link))
}

// unlink removes the link and makes that durable.
func unlink(link string) error {
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the link: %w", err)
	}
	return durable.SyncDir(filepath.Dir(link))
}
