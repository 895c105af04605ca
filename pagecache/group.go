package pagecache

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// group is a control group that bounds memory, in bytes.
type group struct {
	limitFile   string
	limit, used int64
	reclaimable int64 // of what is used: page cache that is not locked
}

func (g group) free() int64 { return g.limit - g.used + g.reclaimable }

// version is how a version of control groups names what bounds memory.
type version struct {
	limit, usage string
	reclaimable  []string // in memory.stat
}

// groups returns the groups with a limit that this process is in, from its own
// one up.
func (h host) groups(proc procfs.FS) ([]group, error) {
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	all, err := self.Cgroups()
	if err != nil {
		return nil, err
	}
	var found []group
	for _, c := range all {
		var err error
		var mounts []string
		v := version{"memory.max", "memory.current", []string{"inactive_file", "active_file"}}
		switch {
		case c.HierarchyID == 0:
			mounts = []string{h.cgroups, filepath.Join(h.cgroups, "unified")}
		case slices.Contains(c.Controllers, "memory"):
			v = version{"memory.limit_in_bytes", "memory.usage_in_bytes", []string{"total_inactive_file", "total_active_file"}}
			mounts = []string{filepath.Join(h.cgroups, "memory")}
		}
		for _, mount := range mounts {
			if found, err = v.ancestors(found, mount, c.Path); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// ancestors adds a group and those above it, as far as they are to be seen
// from here and have a limit.
func (v version) ancestors(found []group, mount, name string) ([]group, error) {
	// The clean path is below the mount even if a group outside of this
	// process's namespace begins with "..".
	for name = path.Clean("/" + name); ; name = path.Dir(name) {
		g, err := v.read(filepath.Join(mount, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case g.limit < math.MaxInt64/2: // Version 1 says that of none.
			found = append(found, g)
		}
		if name == "/" {
			return found, nil
		}
	}
}

// read reads one group's files; its error is fs.ErrNotExist for a group without
// a limit of its own.
func (v version) read(dir string) (group, error) {
	g := group{limitFile: filepath.Join(dir, v.limit), limit: math.MaxInt64}
	text, err := os.ReadFile(g.limitFile)
	if err != nil {
		return g, err
	}
	if strings.TrimSpace(string(text)) == "max" {
		return g, nil
	}
	if g.limit, err = number(g.limitFile, string(text)); err != nil {
		return g, err
	}
	usageFile := filepath.Join(dir, v.usage)
	if text, err = os.ReadFile(usageFile); err != nil {
		return g, err
	}
	if g.used, err = number(usageFile, string(text)); err != nil {
		return g, err
	}
	statFile := filepath.Join(dir, "memory.stat")
	if text, err = os.ReadFile(statFile); err != nil {
		return g, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if !slices.Contains(v.reclaimable, name) {
			continue
		}
		n, err := number(statFile, value)
		if err != nil {
			return g, err
		}
		g.reclaimable += n
	}
	return g, nil
}

func number(file, text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return n, nil
}
