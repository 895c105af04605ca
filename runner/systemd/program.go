package systemd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"switchd/runner"
)

// defaultPath is where a command without a slash is looked for, unless the
// instance sets its own PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// program returns the absolute path of the instance's program.
func program(inst runner.Instance) (string, error) {
	name := inst.Command[0]
	switch {
	case name == "":
		return "", errors.New("the release has no command to run")
	case filepath.IsAbs(name):
		info, err := os.Stat(name)
		return name, runnable(name, info, err)
	case strings.Contains(name, "/"):
		return released(inst.Dir, name)
	}
	path, ok := inst.Env["PATH"]
	if !ok {
		path = defaultPath
	}
	for _, place := range filepath.SplitList(path) {
		file := filepath.Join(place, name)
		if info, err := os.Stat(file); filepath.IsAbs(file) && runnable(file, info, err) == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("command %q: no such program in PATH (%s); a program of the release is written with a slash, as ./%s", name, path, name)
}

// released returns the path of a program that must lie within the release,
// behind all symbolic links.
func released(dir, name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("command %q leads out of the release %s", name, dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("open the release: %w", err)
	}
	defer root.Close() //nolint:errcheck // Opened for reading.
	path := filepath.Join(dir, name)
	info, err := root.Stat(filepath.Clean(name))
	return path, runnable(path, info, err)
}

func runnable(path string, info fs.FileInfo, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: no such file; check the command, and what was packed", path)
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: is no file that can be run", path)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s: is not executable (mode %04o); set the mode before the release is packed", path, info.Mode().Perm())
	}
	return nil
}

// checkUser looks the user and the group of the instance up: systemd would do
// so only when it is too late.
func checkUser(inst runner.Instance, manager string) error {
	name, group, grouped := strings.Cut(inst.User, ":")
	if inst.User == "" {
		return nil
	}
	if manager == User {
		return fmt.Errorf("user %q: a user's service manager can't run anything as another one", inst.User)
	}
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		if _, err := user.Lookup(name); err != nil {
			return fmt.Errorf("user %q: %w; create it on this node, or change user in the spec", inst.User, err)
		}
	}
	if !grouped {
		return nil
	}
	if _, err := strconv.ParseUint(group, 10, 32); err != nil {
		if _, err := user.LookupGroup(group); err != nil {
			return fmt.Errorf("user %q: %w; create it on this node, or change user in the spec", inst.User, err)
		}
	}
	return nil
}
