package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"switchd/status"
)

// meter shows how far something is, in one line that it writes again and
// again: on a terminal only.
type meter struct {
	w    io.Writer
	what string

	began time.Time // of the transfer that goes on now
	first int64     // what was done when it began
	done  int64
	shown time.Time
}

// meterEvery is the time between two lines.
const meterEvery = 200 * time.Millisecond

// meter returns one for standard error, nil where that is no terminal.
func (a *app) meter(what string) *meter {
	if file, ok := a.stderr.(*os.File); !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return &meter{w: a.stderr, what: what}
}

// at tells it the bytes done, of total. The rate counts from where the
// transfer began or was last set back.
func (m *meter) at(now time.Time, done, total int64) {
	if m == nil {
		return
	}
	if m.began.IsZero() || done < m.done {
		m.began, m.first = now, done
	}
	m.done = done
	if now.Sub(m.shown) < meterEvery && done < total {
		return
	}
	m.shown = now
	_, _ = fmt.Fprintf(m.w, "\r\x1b[K%s: %s", m.what, m.line(now, total))
}

// line is what is known: percent, rate, time left.
func (m *meter) line(now time.Time, total int64) string {
	text := fmt.Sprintf("%d %% of %s", m.done*100/max(total, 1), bytes(total))
	took, sent := now.Sub(m.began), m.done-m.first
	if took < meterEvery || sent <= 0 {
		return text
	}
	rate := float64(sent) / took.Seconds()
	text += fmt.Sprintf(", %s/s", bytes(int64(rate)))
	if left := total - m.done; left > 0 {
		text += fmt.Sprintf(", %s left", status.Span(max(time.Duration(float64(left)/rate*float64(time.Second)), time.Second)))
	} else {
		text += ", it is verified now"
	}
	return text
}

// end wipes the line away.
func (m *meter) end() {
	if m != nil && !m.shown.IsZero() {
		_, _ = fmt.Fprint(m.w, "\r\x1b[K")
	}
}
