// Package program finds the program that a command of a release means, and
// tells beforehand why it could not be run.
package program

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Find returns the absolute path of the program that Command[0] names: itself
// if it is absolute, one of the release in dir if it has a slash, and otherwise
// one in a directory of path, which is a PATH of the command's own environment:
// a release must run alike on every node, whatever the agent's PATH is.
func Find(command []string, dir, path string) (string, error) {
	if len(command) == 0 || command[0] == "" {
		return "", errors.New("there is no command to run")
	}
	switch name := command[0]; {
	case filepath.IsAbs(name):
		return name, check(name, os.Stat)
	case strings.Contains(name, "/"):
		return Released(dir, name)
	default:
		return inPath(name, path)
	}
}

// Released returns the path of a program that must lie within the release in
// dir, behind all symbolic links.
func Released(dir, name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%s leads out of the release %s", name, dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("open the release: %w", err)
	}
	defer root.Close() //nolint:errcheck // Opened for reading.
	path := filepath.Join(dir, name)
	return path, check(path, func(string) (fs.FileInfo, error) { return root.Stat(filepath.Clean(name)) })
}

// inPath leaves out relative directories: they would start wherever the agent
// runs.
func inPath(name, path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if file := filepath.Join(dir, name); filepath.IsAbs(file) && check(file, os.Stat) == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: no such program in PATH (%s); a program of the release is written with a slash, as ./%s", name, path, name)
}

// check tells why the file at path can't be run.
func check(path string, stat func(string) (fs.FileInfo, error)) error {
	info, err := stat(path)
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
