package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"switchd/runner"
)

// answerTime is how long an order and its answer may take.
const answerTime = 3 * time.Second

// socketOf is where the shim of an instance listens: in a directory of the
// agent beside its log, and the same for all versions.
func socketOf(inst runner.Instance) (string, error) {
	dir, err := filepath.Abs(filepath.Dir(inst.LogFile))
	if err != nil {
		return "", fmt.Errorf("find the shim's directory: %w", err)
	}
	name := sha256.Sum256([]byte(inst.ID)) // Of any length, with any characters.
	return filepath.Join(dir, ".shims", hex.EncodeToString(name[:8])+".sock"), nil
}

// lock takes the right to run an instance, until the file is closed.
func lock(socket string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return nil, fmt.Errorf("make the shim's directory: %w", err)
	}
	f, err := os.OpenFile(socket+".lock", os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the instance: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("it runs already, under another shim: stop that first")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the instance: %w", err), f.Close())
	}
	return f, nil
}

// short calls do with a name of the socket that fits: one may have 107 bytes
// (unix(7)), and a path many more.
func short(socket string, do func(path string) error) error {
	dir, err := os.OpenFile(filepath.Dir(socket), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open the shim's directory: %w", err)
	}
	defer dir.Close() //nolint:errcheck // Opened to be named.
	return do(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(socket)))
}

// listen replaces the socket that a shim before has left; the caller holds
// the lock.
func listen(ctx context.Context, socket string) (net.Listener, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove a former socket: %w", err)
	}
	var l net.Listener
	err := short(socket, func(path string) (err error) {
		l, err = new(net.ListenConfig).Listen(ctx, "unix", path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen for the agent: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // By a name that is no longer its own.
	return l, nil
}

// serve answers agents, a few at a time, until l is closed.
func serve(l net.Listener, queries chan<- query, done <-chan struct{}) {
	places := make(chan struct{}, 16)
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(killAgain) // Out of descriptors, which passes.
			continue
		}
		places <- struct{}{}
		go func() {
			defer func() { <-places }()
			defer conn.Close() //nolint:errcheck // The agent sees whether it has got an answer.
			reply(conn, queries, done)
		}()
	}
}

// reply answers one order. Who asks badly, or goes away, gets nothing.
func reply(conn net.Conn, queries chan<- query, done <-chan struct{}) {
	if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return
	}
	o, err := take[order](conn)
	if err != nil {
		return
	}
	q := query{order: o, answer: make(chan answer, 1)}
	select {
	case queries <- q:
		_ = json.NewEncoder(conn).Encode(<-q.answer) // The agent sees whether it has got an answer.
	case <-done:
	case <-time.After(answerTime): // It is starting the service, or can't.
	}
}

// ask sends an order to a shim and returns its answer.
func ask(ctx context.Context, socket string, o order) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var a answer
	o.Version = wireVersion
	err := short(socket, func(path string) error {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err != nil {
			return err
		}
		defer conn.Close() //nolint:errcheck // All has been read.
		end := context.AfterFunc(ctx, func() {
			_ = conn.SetDeadline(time.Unix(1, 0)) // Fails only when it is closed: nobody waits.
		})
		defer end()
		if err := json.NewEncoder(conn).Encode(o); err != nil {
			return err
		}
		a, err = take[answer](conn)
		return err
	})
	if err != nil {
		return answer{}, fmt.Errorf("ask its shim: %w", err)
	}
	return a, nil
}
