package waitfor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// CheckCommands tells why no program of a directory may be run: whoever else could
// put one there would be who a replica is.
func CheckCommands(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("directory of gate commands %q: it must be absolute", dir)
	}
	path, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("directory of gate commands: %w", err)
	}
	if path != filepath.Clean(dir) {
		return fmt.Errorf("directory of gate commands %s: it leads through a symbolic link; say where to: %s", dir, path)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("directory of gate commands: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("directory of gate commands %s: it is none", dir)
	}
	if err := onlyOurs(path, info); err != nil {
		return fmt.Errorf("directory of gate commands: %w", err)
	}
	// Who may rename a directory above it may put another one in its place, but for
	// one where everybody may rename what is their own only.
	for at := filepath.Dir(path); ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err == nil && info.Mode()&fs.ModeSticky == 0 {
			err = onlyOurs(at, info)
		}
		if err != nil {
			return fmt.Errorf("directory of gate commands %s: above it, %w", dir, err)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// allowed is the path of a program in the directory, if it may be run.
func allowed(dir, name string) (string, error) {
	if err := CheckCommands(dir); err != nil {
		return "", err
	}
	if name == "" || name == "." || name == ".." || filepath.Base(name) != name {
		return "", fmt.Errorf("command %s: it must be the name of a program in %s, without a directory", quote(name), dir)
	}
	path := filepath.Join(dir, name)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no program %s in %s; install it on every replica", quote(name), dir)
	case err != nil:
		return "", fmt.Errorf("command %s: %w", quote(name), err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no file but %s; put the program itself there", path, kind(info.Mode()))
	case info.Mode()&0o111 == 0:
		return "", fmt.Errorf("%s is not executable (mode %04o); chmod 755 it", path, info.Mode().Perm())
	}
	return path, onlyOurs(path, info)
}

func kind(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode.IsDir():
		return "a directory"
	default:
		return "something else"
	}
}

// onlyOurs tells who else than root and the process's own user may write something.
func onlyOurs(path string, info fs.FileInfo) error {
	const others = 0o022 // group, and everybody
	if mode := info.Mode(); mode&others != 0 {
		return fmt.Errorf("%s may be written by others (mode %04o); chmod go-w it", path, mode.Perm())
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if self := os.Geteuid(); !known || owner.Uid != 0 && int(owner.Uid) != self {
		return fmt.Errorf("%s belongs to another user than root and the replica's own (%d); chown it", path, self)
	}
	return nil
}
