package report

import (
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"switchd/judge"
)

// strokes are the lines of a series. A segment of one point is a dot.
type strokes struct {
	segments []segment
	shade    shade
	width    vg.Length
}

// Plot implements plot.Plotter.
func (s strokes) Plot(c draw.Canvas, p *plot.Plot) {
	style := draw.LineStyle{Color: s.shade, Width: s.width}
	for _, points := range s.segments {
		line := onCanvas(c, p, points)
		if len(line) == 1 && c.Contains(line[0]) {
			c.DrawGlyphNoClip(draw.GlyphStyle{Color: s.shade, Radius: s.width, Shape: draw.CircleGlyph{}}, line[0])
			continue
		}
		c.StrokeLines(style, c.ClipLinesXY(line)...)
	}
}

// onCanvas puts points where they belong.
func onCanvas(c draw.Canvas, p *plot.Plot, points []xy) []vg.Point {
	x, y := p.Transforms(&c)
	line := make([]vg.Point, len(points))
	for i, at := range points {
		line[i] = vg.Point{X: x(at.x), Y: y(at.y)}
	}
	return line
}

// ribbon is the area between two series of the same times.
type ribbon struct {
	lower, upper []segment
	shade        shade
}

// Plot implements plot.Plotter.
func (r ribbon) Plot(c draw.Canvas, p *plot.Plot) {
	for i := range min(len(r.lower), len(r.upper)) {
		edge := onCanvas(c, p, r.lower[i])
		back := onCanvas(c, p, r.upper[i])
		slices.Reverse(back)
		edge = append(edge, back...)
		if len(edge) > 2 {
			c.FillPolygon(r.shade, c.ClipPolygonXY(edge))
		}
	}
}

// level is a thin line across.
type level struct {
	at    float64
	shade shade
}

// Plot implements plot.Plotter.
func (l level) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	if at := y(l.at); c.ContainsY(at) {
		c.StrokeLine2(draw.LineStyle{Color: l.shade, Width: 0.5}, c.Min.X, at, c.Max.X, at)
	}
}

// bound is a limit with its name.
type bound struct {
	at   float64
	name string
}

// Plot implements plot.Plotter.
func (b bound) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	at := y(b.at)
	if !c.ContainsY(at) {
		return
	}
	c.StrokeLine2(draw.LineStyle{Color: limit(), Width: 1, Dashes: []vg.Length{4, 3}}, c.Min.X, at, c.Max.X, at)
	style := textStyle(bodySize-1.5, limit())
	style.XAlign, style.YAlign = draw.XRight, draw.YBottom
	above := at + 2
	if c.Max.Y-above < style.Font.Size {
		style.YAlign, above = draw.YTop, at-2
	}
	c.FillText(style, vg.Point{X: c.Max.X - 2, Y: above}, b.name)
}

// Plot implements plot.Plotter: a line down, with the moment's name.
func (m Moment) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	at := x(unix(m.At))
	if !c.ContainsX(at) {
		return
	}
	c.StrokeLine2(draw.LineStyle{Color: ink(), Width: 0.75, Dashes: []vg.Length{2, 2}}, at, c.Min.Y, at, c.Max.Y)
	style := textStyle(bodySize-2, ink())
	style.YAlign = draw.YTop
	left := at + 3
	if width := style.Width(m.Name); left+width > c.Max.X {
		left = at - 3 - width
	}
	c.FillText(style, vg.Point{X: left, Y: c.Max.Y - 3}, m.Name)
}

// rules are lines behind the values, one for each tick.
type rules struct{}

// Plot implements plot.Plotter.
func (rules) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	for _, tick := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		at := y(tick.Value)
		c.StrokeLine2(draw.LineStyle{Color: grid(), Width: 0.5}, c.Min.X, at, c.Max.X, at)
	}
}

// holes shades the times without data.
type holes judge.Path

// Plot implements plot.Plotter.
func (h holes) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	for i := 0; i < len(h); i++ {
		if !gap(h[i]) {
			continue
		}
		begin := i
		for i+1 < len(h) && gap(h[i+1]) {
			i++
		}
		// A mark is the end of its step: the gap began where the one before ended.
		left, right := x(unix(h[max(begin-1, 0)].At)), x(unix(h[i].At))
		c.FillPolygon(hole(), []vg.Point{{X: left, Y: c.Min.Y}, {X: right, Y: c.Min.Y}, {X: right, Y: c.Max.Y}, {X: left, Y: c.Max.Y}})
		style := textStyle(bodySize-2, faint())
		style.XAlign, style.YAlign = draw.XCenter, draw.YTop
		if style.Width("no data") < right-left {
			c.FillText(style, vg.Point{X: (left + right) / 2, Y: c.Max.Y - 3}, "no data")
		}
	}
}

// look is how an entry of a key is drawn.
type look int

const (
	solid look = iota
	area
)

// key is an entry that names a line.
type key struct {
	name  string
	shade shade
	look  look
}

// heading is a plot's title with its key, in the room above it.
type heading struct {
	title string
	keys  []key
}

// Plot implements plot.Plotter.
func (h heading) Plot(c draw.Canvas, _ *plot.Plot) {
	title := textStyle(bodySize, ink())
	at := vg.Point{X: c.Min.X, Y: c.Max.Y + 8}
	c.FillText(title, at, h.title)
	at.X += title.Width(h.title) + 18
	style := textStyle(bodySize-1, faint())
	for _, k := range h.keys {
		const sample, gap = 16, 5
		middle := at.Y + style.Font.Size/3
		width := vg.Length(2)
		if k.look == area {
			width = 7
		}
		c.StrokeLine2(draw.LineStyle{Color: k.shade, Width: width}, at.X, middle, at.X+sample, middle)
		at.X += sample + gap
		c.FillText(style, at, k.name)
		at.X += style.Width(k.name) + 14
	}
}
