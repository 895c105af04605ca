package hook

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
)

// budget is what the outputs of one run may still log together.
type budget struct {
	mu   sync.Mutex
	left int
}

// spend logs p to w as far as the budget goes, and says so once where it
// ends.
func (b *budget) spend(w io.Writer, p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left <= 0 {
		return
	}
	n := min(len(p), b.left)
	b.left -= n
	_, err := w.Write(p[:n])
	if err == nil && b.left == 0 {
		_, err = fmt.Fprintf(w, "\n[switchd: the hook's output is cut here, after %d KiB]\n", maxLogged>>10)
	}
	if err != nil {
		b.left = 0 // A full disk must not keep the hook from ending.
	}
}

// capture takes one output of a hook, of any length, without ever blocking or
// failing: it logs the beginning and remembers the last line.
type capture struct {
	log    io.Writer // nil: nowhere
	budget *budget

	mu   sync.Mutex // what the hook left behind may write while it is read
	line []byte     // the one that has no end yet, its first MaxLine bytes
	last []byte     // the last one before it that was not empty
}

func newCapture(log io.Writer, b *budget) *capture { return &capture{log: log, budget: b} }

func (c *capture) Write(p []byte) (int, error) {
	if c.log != nil {
		c.budget.spend(c.log, p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		c.line = append(c.line, part[:min(len(part), MaxLine-len(c.line))]...)
		if ended {
			if len(bytes.TrimSpace(c.line)) > 0 {
				c.last = append(c.last[:0], c.line...)
			}
			c.line = c.line[:0]
		}
		rest = after
	}
	return len(p), nil
}

// lastLine is the last line that is not empty, without what no environment
// and no terminal should get: control characters and broken UTF-8.
func (c *capture) lastLine() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	line := c.line
	if len(bytes.TrimSpace(line)) == 0 {
		line = c.last
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(line), "")))
}
