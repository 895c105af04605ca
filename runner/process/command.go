package process

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"switchd/runner"
)

// What every process started here has in its environment.
const (
	instanceVar = "SWITCHD_INSTANCE"
	versionVar  = "SWITCHD_VERSION"
	shimVar     = "SWITCHD_SHIM" // the mark of the service's shim
	socketVar   = "SWITCHD_SHIM_SOCKET"
)

// defaultPath is where a command without a slash is looked for, unless the
// instance sets its own PATH. The agent's PATH is not used: a release must run
// alike on every node.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment returns the environment of an instance, sorted; the shim adds
// its mark.
func environment(inst runner.Instance, as account) []string {
	vars := map[string]string{"PATH": defaultPath, "LANG": "C.UTF-8"}
	maps.Copy(vars, as.env)
	maps.Copy(vars, inst.Env)
	vars[instanceVar], vars[versionVar] = inst.ID, inst.Version
	delete(vars, shimVar)
	delete(vars, socketVar)
	env := make([]string, 0, len(vars))
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

// executable returns the absolute path of the instance's program.
func executable(inst runner.Instance) (string, error) {
	if len(inst.Command) == 0 || inst.Command[0] == "" {
		return "", errors.New("the release has no command to run")
	}
	dir, err := filepath.Abs(inst.Dir)
	if err != nil {
		return "", fmt.Errorf("find the release: %w", err)
	}
	if info, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("find the release: %w", err)
	} else if !info.IsDir() {
		return "", fmt.Errorf("find the release: %s is no directory", dir)
	}
	name := inst.Command[0]
	switch {
	case filepath.IsAbs(name):
		info, err := os.Stat(name)
		return runnable(name, info, err)
	case strings.Contains(name, "/"):
		return released(dir, name)
	}
	path, ok := inst.Env["PATH"]
	if !ok {
		path = defaultPath
	}
	for _, place := range filepath.SplitList(path) {
		file := filepath.Join(place, name)
		if info, err := os.Stat(file); err == nil && filepath.IsAbs(file) && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
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
	info, err := root.Stat(filepath.Clean(name))
	return runnable(filepath.Join(dir, name), info, err)
}

func runnable(path string, info fs.FileInfo, err error) (string, error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: no such file; check the command, and what was packed", path)
	case err != nil:
		return "", fmt.Errorf("%s: %w", path, err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s: is no file that can be run", path)
	case info.Mode()&0o111 == 0:
		return "", fmt.Errorf("%s: is not executable (mode %04o); set the mode before the release is packed", path, info.Mode().Perm())
	}
	return path, nil
}

// explain says what the kernel's refusal to execute path means.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%s: is no program for this machine; it was built for another one, or is a script without a #! line: %w", path, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: the interpreter or the loader that it asks for is missing on this node: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: may not be executed; look at the modes of its directories and for a noexec mount: %w", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
