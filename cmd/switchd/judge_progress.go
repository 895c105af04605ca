package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// replayMeter shows how far a replay is: in one line that it writes again and
// again on a terminal, or with a line each few seconds where --progress asks for
// it.
type replayMeter struct {
	w     io.Writer
	every time.Duration
	line  string // before and after the text
	about int    // looks, 0 if not known
	done  int
	shown time.Time
}

// progress returns nil where nobody reads it.
func (c *shownFlags) progress(a *app, about int) *replayMeter {
	const seldom = 5 * time.Second
	m := &replayMeter{w: a.stderr, every: meterEvery, line: "\r\x1b[K%s", about: about, shown: time.Now()}
	if file, ok := a.stderr.(*os.File); !ok || !term.IsTerminal(int(file.Fd())) {
		if !c.Progress {
			return nil
		}
		m.every, m.line = seldom, "%s\n"
	}
	return m
}

// at counts a look.
func (m *replayMeter) at(look time.Time) {
	if m == nil {
		return
	}
	m.done++
	if now := time.Now(); now.Sub(m.shown) >= m.every {
		m.shown = now
		text := fmt.Sprintf("replay: %d looks, at %s", m.done, look.UTC().Format(time.RFC3339))
		if m.about > m.done {
			text = fmt.Sprintf("replay: %d %% of %d looks, at %s", m.done*100/m.about, m.about, look.UTC().Format(time.RFC3339))
		}
		_, _ = fmt.Fprintf(m.w, m.line, text)
	}
}

// end wipes the line away, or says that it is over.
func (m *replayMeter) end() {
	switch {
	case m == nil:
	case m.every == meterEvery:
		_, _ = fmt.Fprintf(m.w, m.line, "")
	default:
		_, _ = fmt.Fprintf(m.w, m.line, fmt.Sprintf("replay: %d looks", m.done))
	}
}

// interruptible is a reader that ends with a context.
type interruptible struct {
	ctx context.Context //nolint:containedctx // io.Reader has no other way
	r   io.Reader
}

// Read reads on, unless the context has ended.
func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}
