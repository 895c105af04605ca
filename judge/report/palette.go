package report

import (
	"fmt"
	"strings"
)

// shade is a colour with its name in the page's style sheet, which has another
// value for it where the reader prefers a dark page.
type shade struct {
	hex  uint32
	name string
}

// RGBA implements color.Color.
func (s shade) RGBA() (r, g, b, a uint32) {
	channel := func(shift uint) uint32 { return s.hex >> shift & 0xFF * 0x101 }
	return channel(16), channel(8), channel(0), 0xFFFF
}

// The shades. All are opaque, and none is black, which SVG leaves out.
func ink() shade    { return shade{0x24292F, "ink"} }
func faint() shade  { return shade{0x6B7280, "faint"} }
func grid() shade   { return shade{0xE6E8EC, "grid"} }
func hole() shade   { return shade{0xF1F2F4, "hole"} }
func limit() shade  { return shade{0xC2361F, "limit"} }
func green() shade  { return shade{0x128A5B, "green"} }
func blue() shade   { return shade{0x2A66C9, "blue"} }
func lilac() shade  { return shade{0xDDD3F0, "lilac"} }
func violet() shade { return shade{0x6B46B8, "violet"} }
func paper() shade  { return shade{0xFFFFFF, "paper"} }

func shades() []shade {
	return []shade{ink(), faint(), grid(), hole(), limit(), green(), blue(), lilac(), violet(), paper()}
}

// named returns what replaces the colours in the style of SVG's elements by the
// names that the page's style sheet gives them.
func named() *strings.Replacer {
	var pairs []string
	for _, s := range shades() {
		for _, use := range []string{"fill:", "stroke:"} {
			pairs = append(pairs, fmt.Sprintf("%s#%06X", use, s.hex), use+"var(--"+s.name+")")
		}
	}
	return strings.NewReplacer(pairs...)
}

// sides are the shades of both sides: a pool that is called by a colour has it.
func (r Report) sides() (experiment, control shade) {
	if r.Experiment == "blue" || r.Control == "green" {
		return blue(), green()
	}
	return green(), blue()
}
