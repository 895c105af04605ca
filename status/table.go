package status

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Options say how text is printed.
type Options struct {
	// Color allows escape sequences for colours (ECMA-48 section 8.3.117).
	Color bool
	// Width cuts the lines of the overview, in characters; 0 leaves them.
	Width int
	// Facts adds to a timeline what each decision was made on.
	Facts bool
}

// style is a parameter of the escape sequence SGR.
type style string

const (
	plain   style = ""
	strong  style = "1"
	faint   style = "2"
	bad     style = "31"
	good    style = "32"
	notable style = "33"
)

// cell is a text with its style.
type cell struct {
	text  string
	style style
}

// page gathers text, so that it is written at once or not at all.
type page struct {
	strings.Builder

	opts Options
}

func (p *page) flush(w io.Writer) error {
	if _, err := io.WriteString(w, p.String()); err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	return nil
}

// line writes cells one after the other, cut to width if that is not 0.
func (p *page) line(width int, cells ...cell) {
	size := 0
	for i := range cells {
		cells[i].text = Printable(cells[i].text)
		size += utf8.RuneCountInString(cells[i].text)
	}
	for i := len(cells) - 1; i >= 0; i-- { // no blanks at the end
		text := strings.TrimRight(cells[i].text, " ")
		size -= len(cells[i].text) - len(text)
		if cells[i].text = text; text != "" {
			break
		}
	}
	room := size
	if width > 0 && size > width {
		room = width - 1
	}
	for _, c := range cells {
		text := []rune(c.text)
		text = text[:min(len(text), room)]
		room -= len(text)
		p.WriteString(p.paint(c.style, string(text)))
		if len(text) < utf8.RuneCountInString(c.text) {
			p.WriteString("…")
			break
		}
	}
	p.WriteByte('\n')
}

func (p *page) paint(s style, text string) string {
	if !p.opts.Color || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// gap stands between columns.
const gap = "  "

// table writes rows with aligned columns. text/tabwriter would count the
// escape sequences of colours as text.
func (p *page) table(width int, rows ...[]cell) {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(Printable(c.text)))
		}
	}
	for _, row := range rows {
		var cells []cell
		for i, c := range row {
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(Printable(c.text)))
			if i < len(row)-1 {
				padding += gap
			}
			cells = append(cells, c, cell{text: padding})
		}
		p.line(width, cells...)
	}
}
