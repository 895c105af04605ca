package explain

import (
	"fmt"
	"io"
	"strings"
	"time"

	"switchd/status"
)

// Text prints the explanation for people. Times of day are in now's location.
func (e Explanation) Text(w io.Writer, now time.Time) error {
	var b strings.Builder
	for _, s := range e.Where {
		line(&b, "", s)
	}
	if e.Waits != nil {
		b.WriteString("\n")
		for _, s := range e.Waits.For {
			line(&b, "", s)
		}
		line(&b, "", e.Waits.Line(now))
		for _, s := range e.Waits.Who {
			line(&b, "  ", s)
		}
	}
	if len(e.Why) > 0 {
		b.WriteString("\nHow it came there:\n")
		for _, s := range e.Why {
			line(&b, "  ", s)
		}
	}
	if len(e.Facts) > 0 {
		b.WriteString("\nThe last decision with facts was made on these:\n")
		for _, s := range e.Facts {
			line(&b, "  ", s)
		}
	}
	if len(e.Can) > 0 {
		b.WriteString("\nWhat you can do:\n")
		for _, way := range e.Can {
			line(&b, "  ", fmt.Sprintf("`%s`: %s", way.Command, way.What))
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print the explanation: %w", err)
	}
	return nil
}

func line(b *strings.Builder, indent, text string) {
	b.WriteString(indent + status.Printable(text) + "\n")
}
