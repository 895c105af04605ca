package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/mod/modfile"
)

// pin is a program at the version that the checkout's go.mod asks for.
type pin struct {
	program
	dir     string // absolute
	version string
}

// pin reads the pinned version.
func (p program) pin() (pin, error) {
	root, err := checkout()
	if err != nil {
		return pin{}, err
	}
	dir := filepath.Join(root, p.dir)
	file, err := readModule(dir)
	if err != nil {
		return pin{}, err
	}
	for _, req := range file.Require {
		if req.Mod.Path != p.module {
			continue
		}
		version, err := p.release(req.Mod.Version)
		if err != nil {
			return pin{}, fmt.Errorf("%s:%d: %w", file.Syntax.Name, req.Syntax.Start.Line, err)
		}
		return pin{program: p, dir: dir, version: version}, nil
	}
	return pin{}, fmt.Errorf("%s: no requirement of %s; add it with go get -tool %s", file.Syntax.Name, p.module, p.pkg)
}

// checkout returns the root of the checkout of switchd: seen from the working
// folder, or else from where this file was when it was compiled.
func checkout() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	starts := []string{wd}
	// A build with -trimpath knows no absolute path of its files.
	if _, source, _, ok := runtime.Caller(0); ok && filepath.IsAbs(source) {
		starts = append(starts, filepath.Dir(source))
	}
	for _, dir := range starts {
		for {
			file, err := readModule(dir)
			if err == nil && file.Module != nil && file.Module.Mod.Path == "switchd" {
				return dir, nil
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return "", fmt.Errorf("find the checkout: %w", err)
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return "", fmt.Errorf("no go.mod of the module switchd in %s or above it; run this within a checkout of switchd", wd)
}

func readModule(dir string) (*modfile.File, error) {
	path := filepath.Join(dir, "go.mod")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return modfile.ParseLax(path, text, nil)
}
