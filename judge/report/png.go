package report

import (
	"fmt"
	"io"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"switchd/judge"
)

// The layout of the picture, in points, and its resolution.
const (
	margin     = vg.Length(24)
	leading    = 1.35 // line height in sizes
	resolution = 144  // dots per inch
	maxLines   = 8    // of one sentence
)

// PNG writes the report as one picture: the verdict, and the plots of as many
// metrics as can be looked at, the worst first.
func PNG(w io.Writer, r Report) error {
	metrics := r.sorted()
	left := max(0, len(metrics)-MaxPicture)
	metrics = metrics[:len(metrics)-left]

	lines := r.head()
	if m, ok := r.together(); ok {
		charts := r.charts(m)
		lines = append(lines, space(18))
		lines = append(lines, say("All metrics together", bodySize+3, ink())...)
		lines = append(lines, space(6), strip{charts.height(), charts.draw})
	}
	for _, m := range metrics {
		lines = append(lines, r.block(m)...)
	}
	if left > 0 {
		lines = append(lines, say(fmt.Sprintf("%d further metrics are not shown.", left), bodySize, faint())...)
	}
	height := 2 * margin
	for _, l := range lines {
		height += l.height
	}
	canvas := vgimg.NewWith(vgimg.UseWH(chartWidth+2*margin, height), vgimg.UseDPI(resolution), vgimg.UseBackgroundColor(paper()))
	page := draw.New(canvas)
	top := page.Max.Y - margin
	for _, l := range lines {
		area := page
		area.Min.X, area.Max.X = page.Min.X+margin, page.Max.X-margin
		area.Max.Y, area.Min.Y = top, top-l.height
		l.draw(area)
		top -= l.height
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w); err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}

// strip is a part of the picture across its width.
type strip struct {
	height vg.Length
	draw   func(area draw.Canvas)
}

// head is the verdict.
func (r Report) head() []strip {
	strips := say(r.Title, bodySize+1, faint())
	strips = append(strips, space(4))
	strips = append(strips, say(strings.ToUpper(Word(r.Outcome)[:1])+Word(r.Outcome)[1:], 20, tone(r.Outcome))...)
	strips = append(strips, space(2))
	strips = append(strips, say(r.Why, bodySize+2, ink())...)
	if len(r.Facts) > 0 {
		strips = append(strips, space(6))
	}
	for _, f := range r.Facts {
		strips = append(strips, say(f.Name+": "+f.Text, bodySize, faint())...)
	}
	return strips
}

// block is a metric with its plots.
func (r Report) block(m Metric) []strip {
	strips := []strip{space(18)}
	strips = append(strips, say(m.Finding.Metric+": "+Word(m.Finding.Outcome), bodySize+3, tone(m.Finding.Outcome))...)
	strips = append(strips, say(m.why(), bodySize, ink())...)
	if charts := r.charts(m); len(charts.plots) > 0 {
		strips = append(strips, space(6), strip{charts.height(), charts.draw})
	}
	return strips
}

// tone is the shade of an outcome.
func tone(o judge.Outcome) shade {
	switch o {
	case judge.Regressed:
		return limit()
	case judge.NoWorse:
		return green()
	case judge.Undecided:
	}
	return shade{0x8A6100, "amber"}
}

func space(height vg.Length) strip { return strip{height, func(draw.Canvas) {}} }

// say is a text, broken into lines.
func say(words string, size vg.Length, s shade) []strip {
	style := textStyle(size, s)
	style.YAlign = draw.YTop
	var strips []strip
	for _, line := range broken(words, func(line string) bool { return style.Width(line) <= chartWidth }) {
		strips = append(strips, strip{size * leading, func(area draw.Canvas) {
			area.FillText(style, vg.Point{X: area.Min.X, Y: area.Max.Y}, line)
		}})
	}
	return strips
}

// broken breaks a text between words into lines that fit. A word that does not
// is cut, and so is a text of too many lines.
func broken(words string, fits func(line string) bool) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(words) {
		for !fits(word) && len(word) > 1 {
			word = strings.ToValidUTF8(word[:len(word)/2], "")
		}
		if next := strings.TrimSpace(line + " " + word); fits(next) {
			line = next
			continue
		}
		if len(lines) == maxLines-1 {
			return append(lines, line+" …")
		}
		lines, line = append(lines, line), word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
