package servers

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// tell writes a line with label and the time that went by, again and again,
// until the returned function is called.
func tell(w io.Writer, label string) (stop func()) {
	start := time.Now()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				fmt.Fprintf(w, "%s … %.0f s\n", label, time.Since(start).Seconds())
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// tailSize is how much of a build's output is kept for its error.
const tailSize = 4 << 10

// tail is a writer that keeps the last tailSize bytes.
type tail struct {
	kept []byte
	cut  bool
}

// Write keeps the end of what was written so far.
func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailSize; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
		t.cut = true
	}
	return len(p), nil
}

// String returns the whole lines that were kept.
func (t *tail) String() string {
	kept := t.kept
	if t.cut {
		if _, rest, ok := bytes.Cut(kept, []byte("\n")); ok {
			kept = rest
		}
	}
	return string(bytes.TrimRight(kept, "\n"))
}
