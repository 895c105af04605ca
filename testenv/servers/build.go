package servers

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// progressEvery is how often a build that goes on is told.
const progressEvery = 5 * time.Second

// build makes the program at path. Of several that want the same path at once,
// in this or in other processes, one builds and the others wait for it.
func (p pin) build(ctx context.Context, progress io.Writer, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the cache folder: %w", err)
	}
	told := tell(progress, fmt.Sprintf("waiting for another build of %s %s", p.name, p.version))
	unlock, err := lock(ctx, path+".lock")
	told()
	if err != nil {
		return err
	}
	defer unlock()
	if exists(path) {
		return nil
	}

	label := fmt.Sprintf("building %s %s from its Go module (once, about %s)", p.name, p.version, p.took)
	fmt.Fprintf(progress, "%s\n", label)
	told = tell(progress, label)
	defer told()
	// Under the lock nobody else writes this name, and a build that was
	// killed leaves nothing that the next one doesn't overwrite.
	temp := path + ".tmp"
	defer os.Remove(temp) //nolint:errcheck // Gone after the rename; else the next build overwrites it.
	if err := p.compile(ctx, temp); err != nil {
		return err
	}
	got, err := p.versionOf(ctx, temp)
	if err != nil {
		return err
	}
	if got != p.version {
		return fmt.Errorf("%s says that it is version %s; %s pins %s", p.name, got, filepath.Join(p.dir, "go.mod"), p.version)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("put the program in place: %w", err)
	}
	return nil
}

func (p pin) compile(ctx context.Context, out string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-o", out}
	if p.tags != "" {
		args = append(args, "-tags="+p.tags)
	}
	if p.stamp != "" {
		args = append(args, "-ldflags=-X "+p.stamp+"="+p.version)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, p.pkg)...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(),
		"CGO_ENABLED=0", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	// An interrupted go ends its compilers and removes its work; a killed one
	// leaves both behind.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("go %s in %s: %w\n%s\n"+
			"a first build needs the Go module proxy and some gigabytes of disk; "+
			"a %s %s or newer on PATH is used instead of a build",
			args[0], p.dir, err, output.String(), p.name, p.minimum)
	}
	return nil
}
