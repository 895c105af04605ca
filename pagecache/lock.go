package pagecache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// pinConfig is what a pin process gets on its stdin.
type pinConfig struct {
	Files []string `json:"files"` // absolute
}

// maxConfig bounds that in bytes: every file with a path of Linux's PATH_MAX.
const maxConfig = maxFiles * 4096

// lockedLine is what a pin process answers, in bytes, once all is locked.
const lockedLine = "locked %d\n"

// PinMain is the main function of a pin process: it locks the files that its
// stdin names in memory, answers on stdout, and then keeps them locked until
// ctx ends, which is no error. Locks die with their process and are not
// inherited (mlock(2)); that is why they have one of their own, which outlives
// the agent that started it.
func PinMain(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	config, err := readPinConfig(stdin)
	if err != nil {
		return fmt.Errorf("read which files to lock: %w", err)
	}
	locked, err := lock(config.Files)
	if err != nil {
		return fmt.Errorf("lock in memory: %w", err)
	}
	defer locked.release()
	if _, err := fmt.Fprintf(stdout, lockedLine, locked.bytes); err != nil {
		return fmt.Errorf("answer that the files are locked: %w", err)
	}
	<-ctx.Done()
	return nil
}

func readPinConfig(r io.Reader) (pinConfig, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return pinConfig{}, err
	}
	if len(text) > maxConfig {
		return pinConfig{}, fmt.Errorf("it has more than %d bytes", maxConfig)
	}
	var config pinConfig
	if err := json.Unmarshal(text, &config); err != nil {
		return pinConfig{}, err
	}
	if len(config.Files) > maxFiles {
		return pinConfig{}, fmt.Errorf("it names %d files, at most %d can be locked", len(config.Files), maxFiles)
	}
	return config, nil
}

// locks are files that are locked in this process.
type locks struct {
	mapped [][]byte
	bytes  int64
}

// lock locks all of the files, or none.
func lock(paths []string) (*locks, error) {
	l := &locks{}
	for _, path := range paths {
		if err := l.add(path); err != nil {
			l.release()
			return nil, err
		}
	}
	return l, nil
}

// add reads a file into memory and locks it there. The mapping must not be
// touched otherwise: the file may shrink.
func (l *locks) add(path string) error {
	f, size, err := open(path)
	if err != nil || size == 0 {
		if err == nil {
			err = f.Close()
		}
		return err
	}
	defer f.Close() //nolint:errcheck // Opened for reading; the mapping stays.
	var mapped []byte
	err = control(f, func(fd int) (err error) {
		mapped, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
		return err
	})
	if err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	l.mapped = append(l.mapped, mapped)
	if err := unix.Mlock(mapped); err != nil {
		return fmt.Errorf("%s, %d bytes after %d others: %w%s", path, size, l.bytes, err, hint(err))
	}
	l.bytes += size
	return nil
}

// hint tells what the errors of mlock(2) mean and what to do about them.
func hint(err error) string {
	if errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM) {
		return ": " + memlockAdvice()
	}
	if errors.Is(err, unix.EAGAIN) {
		return ": there is not enough memory, or the file shrank"
	}
	return ""
}

func (l *locks) release() {
	for _, mapped := range l.mapped {
		_ = unix.Munmap(mapped) // It is mapped; the process's end does the same.
	}
	l.mapped, l.bytes = nil, 0
}
