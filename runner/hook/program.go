package hook

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// program returns the absolute path of the hook's program.
func (h Hook) program() (string, error) {
	if len(h.Command) == 0 || h.Command[0] == "" {
		return "", fmt.Errorf("hook %q: there is no command", h.Name)
	}
	path, err := h.find(h.Command[0])
	if err != nil {
		return "", fmt.Errorf("hook %q: %w", h.Name, err)
	}
	return path, nil
}

func (h Hook) find(name string) (string, error) {
	switch {
	case filepath.IsAbs(name):
		info, err := os.Stat(name)
		return name, runnable(name, info, err)
	case strings.Contains(name, "/"):
		return h.released(name)
	}
	path := h.path()
	for _, place := range filepath.SplitList(path) {
		file := filepath.Join(place, name)
		if info, err := os.Stat(file); filepath.IsAbs(file) && runnable(file, info, err) == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: no such program in PATH (%s); a program of the release is written with a slash, as ./%s", name, path, name)
}

// released finds a program that must lie within the release, behind all
// symbolic links.
func (h Hook) released(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%s leads out of the release %s", name, h.Dir)
	}
	root, err := os.OpenRoot(h.Dir)
	if err != nil {
		return "", fmt.Errorf("open the release: %w", err)
	}
	defer root.Close() //nolint:errcheck // Opened for reading.
	path := filepath.Join(h.Dir, name)
	info, err := root.Stat(filepath.Clean(name))
	return path, runnable(path, info, err)
}

// path is the PATH of the hook's own environment: a release must run alike on
// every node, whatever the agent's PATH is.
func (h Hook) path() string {
	for _, entry := range h.Env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			return value
		}
	}
	return ""
}

func runnable(path string, info fs.FileInfo, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: no such file; check the hook, and what was packed", path)
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: is no file that can be run", path)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s: is not executable (mode %04o); set the mode before the release is packed", path, info.Mode().Perm())
	}
	return nil
}
