package hook

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
)

// capture takes an output of a hook, of any length, without ever blocking or
// failing: it logs the beginning and remembers the last line.
type capture struct {
	mu   sync.Mutex // what the hook left behind may write while it is read
	log  io.Writer  // nil: nowhere
	left int        // bytes that may still be logged
	line []byte     // the one that has no end yet, its first MaxLine bytes
	last []byte     // the last one before it that was not empty
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(p)
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

// keep logs as much as may be logged, and says where it ends.
func (c *capture) keep(p []byte) {
	if c.log == nil || c.left <= 0 {
		return
	}
	n := min(len(p), c.left)
	c.left -= n
	_, err := c.log.Write(p[:n])
	if err == nil && c.left == 0 {
		_, err = fmt.Fprintf(c.log, "\n[switchd: the hook's output is cut here, after %d KiB]\n", maxLogged>>10)
	}
	if err != nil {
		c.left = 0 // A full disk must not keep the hook from ending.
	}
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
