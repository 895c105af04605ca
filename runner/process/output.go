package process

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"switchd/runner/logfile"
)

const (
	logBackups = 3
	chunkSize  = 32 << 10
	chunks     = 8               // are buffered for a slow disk
	stall      = 2 * time.Second // is waited for one before output is dropped
)

func rotating(path string) *lumberjack.Logger {
	return &lumberjack.Logger{Filename: path, MaxSize: logfile.MaxSize >> 20, MaxBackups: logBackups}
}

// output carries what a service writes to its log. The service never waits
// long for it: what a full or a hanging disk doesn't take is dropped and
// counted.
type output struct {
	free, full chan []byte
	done       chan struct{}

	dropped atomic.Int64 // bytes
	reason  atomic.Pointer[string]
}

// capture copies r to w until r ends.
func capture(r io.Reader, w io.Writer) *output {
	o := &output{free: make(chan []byte, chunks), full: make(chan []byte, chunks), done: make(chan struct{})}
	for range chunks {
		o.free <- make([]byte, chunkSize)
	}
	go o.read(r)
	go o.write(w)
	return o
}

// read never waits longer than stall, and that once a stall.
func (o *output) read(r io.Reader) {
	defer close(o.full)
	scrap, patience := make([]byte, chunkSize), stall
	for {
		var buffer []byte
		select {
		case buffer = <-o.free:
			patience = stall
		default:
			select {
			case buffer = <-o.free:
				patience = stall
			case <-time.After(patience):
				patience = 0
			}
		}
		into := buffer
		if buffer == nil {
			into = scrap
		}
		n, err := r.Read(into)
		switch {
		case buffer == nil:
			o.drop(n, errors.New("the disk takes no more for now"))
		case n > 0:
			o.full <- buffer[:n]
		default:
			o.free <- buffer
		}
		if err != nil {
			return
		}
	}
}

func (o *output) write(w io.Writer) {
	defer close(o.done)
	var told int64
	for chunk := range o.full {
		if lost := o.dropped.Load(); lost > told {
			if _, err := fmt.Fprintf(w, "\nswitchd: %d bytes of output were dropped here: %s\n", lost-told, *o.reason.Load()); err == nil {
				told = lost
			}
		}
		if n, err := w.Write(chunk); err != nil {
			o.drop(len(chunk)-n, err)
		}
		o.free <- chunk[:chunkSize]
	}
}

func (o *output) drop(n int, reason error) {
	if n == 0 {
		return
	}
	text := reason.Error()
	o.reason.Store(&text)
	o.dropped.Add(int64(n))
}

// why says what was lost, for people.
func (o *output) why() string {
	n := o.dropped.Load()
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d bytes of its output were dropped, last: %s", n, *o.reason.Load())
}
