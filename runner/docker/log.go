package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// maxLog is the size in bytes above which a log is put aside, one as <name>.1;
// and maxLines how many of a container's last lines are copied to it.
const (
	maxLog   = 10 << 20
	maxLines = "50000"
)

// copyLog appends what a container has written to the log file. The engine
// keeps it only as long as the container.
func (e *engine) copyLog(ctx context.Context, id, path string) error {
	if path == "" {
		return nil
	}
	output, err := e.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: maxLines})
	if err != nil {
		return fmt.Errorf("read the container's output: %w", err)
	}
	defer output.Close()
	file, err := openLog(path)
	if err != nil {
		return err
	}
	bounded := &bounded{to: file, left: maxLog}
	_, err = stdcopy.StdCopy(bounded, bounded, output)
	if errors.Is(err, errFull) {
		err = nil
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("copy the container's output: %w", err)
	}
	return nil
}

var errFull = errors.New("the log is full")

// bounded writes until nothing is left of its bound.
type bounded struct {
	to   io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	n, err := b.to.Write(p[:min(len(p), b.left)])
	b.left -= n
	if err == nil && n < len(p) {
		err = errFull
	}
	return n, err
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("open log: %w", err)
	case info.Size() > maxLog:
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("rotate log: %w", err)
		}
	}
	f, err := os.OpenFile(filepath.Clean(path), os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}
