package docker

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"switchd/runner/logfile"
)

// maxLines is how many of a container's last lines are copied to its log.
const maxLines = "50000"

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
	if err := logfile.Rotate(path); err != nil {
		return err
	}
	file, err := logfile.Open(path)
	if err != nil {
		return err
	}
	bounded := &bounded{to: file, left: logfile.MaxSize}
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
