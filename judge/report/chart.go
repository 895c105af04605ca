package report

import (
	"cmp"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"switchd/judge"
)

// The sizes of a metric's plots, in points.
const (
	chartWidth  = vg.Length(760)
	chartHeight = vg.Length(150) // of one plot
	rightMargin = vg.Length(16)  // of the last time's label
	bodySize    = vg.Length(10)
)

// charts are a metric's plots, one below the other over the same time.
type charts struct {
	metric              Metric
	names               [2]string // of the experiment and the control
	experiment, control shade
	limit               float64 // log10 of the e-value that raises the alarm
	from, to            float64 // Unix seconds
	moments             []Moment
	plots               []*plot.Plot // those that there is something to draw in
}

func (r Report) charts(m Metric) charts {
	c := charts{metric: m, names: [2]string{r.Experiment, r.Control}, limit: r.Limit / math.Ln10, moments: r.Moments}
	c.experiment, c.control = r.sides()
	if n := len(m.Path); n > 0 {
		c.from, c.to = unix(m.Path[0].At), unix(m.Path[n-1].At)
	}
	if c.to == c.from { // one mark, in the middle
		c.from, c.to = c.from-30, c.to+30
	}
	for _, make := range []func() *plot.Plot{c.values, c.ratio, c.evidence} {
		if p := make(); p != nil {
			c.plots = append(c.plots, p)
		}
	}
	return c
}

func unix(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

// height is what the plots need.
func (c charts) height() vg.Length { return vg.Length(len(c.plots)) * chartHeight }

// draw draws the plots so that their times are below each other.
func (c charts) draw(to draw.Canvas) {
	plots := c.plots
	if len(plots) == 0 {
		return
	}
	rows := make([][]*plot.Plot, len(plots))
	for i, p := range plots {
		rows[i] = []*plot.Plot{p}
	}
	to.Max.X -= rightMargin
	for i, row := range plot.Align(rows, draw.Tiles{Rows: len(rows), Cols: 1}, to) {
		rows[i][0].Draw(row[0])
	}
}

// values shows both sides.
func (c charts) values() *plot.Plot {
	experiment := c.line(func(m judge.Mark) float64 { return m.Experiment })
	control := c.line(func(m judge.Mark) float64 { return m.Control })
	if len(experiment) == 0 && len(control) == 0 {
		return nil
	}
	title := cmp.Or(c.metric.Shows, "Value")
	keys := []key{{c.names[0], c.experiment, solid}}
	if len(control) > 0 {
		keys = append(keys, key{c.names[1], c.control, solid})
	}
	var bounds []bound
	if c.metric.Max != nil {
		bounds = append(bounds, bound{*c.metric.Max, "most allowed"})
	}
	if c.metric.Min != nil {
		bounds = append(bounds, bound{*c.metric.Min, "least allowed"})
	}
	low, high := 0.0, 0.0
	for _, s := range [][]segment{experiment, control} {
		for _, points := range s {
			for _, p := range points {
				low, high = min(low, p.y), max(high, p.y)
			}
		}
	}
	for _, b := range bounds {
		if drawable(b.at) {
			low, high = min(low, b.at), max(high, b.at)
		}
	}
	if high-low < 1e-12 {
		high = low + 1
	}
	const headroom = 0.18 // for the names of moments and gaps
	p := c.plot(title, keys, low, high+(high-low)*headroom, valueTicks{c.metric.Share})
	p.Add(strokes{control, c.control, 1.3}, strokes{experiment, c.experiment, 1.8})
	c.limits(p, bounds...)
	return p
}

// widest is the log2 of the ratio beyond which nobody asks for the number.
const widest = 6

func log2(ratio float64) float64 { return min(max(math.Log2(ratio), -widest), widest) }

// band is what the ratio may be at a mark, NaN if that is not known. An end that
// is infinite is not kept.
func band(m judge.Mark) (lower, upper float64) {
	if math.IsNaN(m.Lower) || math.IsNaN(m.Ratio) {
		return math.NaN(), math.NaN()
	}
	if math.IsNaN(m.Upper) {
		return log2(m.Lower), widest
	}
	return log2(m.Lower), log2(m.Upper)
}

// ratio shows the estimate with its band.
func (c charts) ratio() *plot.Plot {
	estimate := c.line(func(m judge.Mark) float64 { return log2(m.Ratio) })
	lower := c.line(func(m judge.Mark) float64 { low, _ := band(m); return low })
	upper := c.line(func(m judge.Mark) float64 { _, high := band(m); return high })
	if len(estimate) == 0 || len(lower) == 0 { // one ratio of all samples is no course
		return nil
	}
	// Early bands are wide; the axis is about what comes after.
	low, high := -1.0, 1.0
	for i, m := range c.metric.Path {
		if math.IsNaN(m.Ratio) {
			continue
		}
		low, high = min(low, log2(m.Ratio)-0.2), max(high, log2(m.Ratio)+0.2)
		if i >= len(c.metric.Path)/3 {
			if from, to := band(m); !math.IsNaN(from) {
				low, high = min(low, max(from, -3)), max(high, min(to, 4))
			}
		}
	}
	p := c.plot("Ratio of "+c.names[0]+" to "+c.names[1],
		[]key{{"estimate", violet(), solid}, {"what it may be", lilac(), area}}, low, high, ratioTicks{})
	p.Add(ribbon{lower, upper, lilac()}, level{0, faint()}, strokes{estimate, violet(), 1.8})
	if c.metric.Allowed > 0 {
		c.limits(p, bound{log2(c.metric.Allowed), "allowed " + times(c.metric.Allowed)})
	} else {
		c.limits(p)
	}
	return p
}

// evidence shows the e-value against its limit.
func (c charts) evidence() *plot.Plot {
	logE := c.line(func(m judge.Mark) float64 { return m.LogE / math.Ln10 })
	if len(logE) == 0 || c.limit == 0 {
		return nil
	}
	low, high := -0.5, c.limit*1.25
	for _, points := range logE {
		for _, p := range points {
			low, high = min(low, p.y), max(high, p.y+0.2)
		}
	}
	low, high = max(low, -3), min(high, 4*c.limit)
	p := c.plot("Evidence of a regression (e-value)", []key{{"evidence", violet(), solid}}, low, high, oddsTicks{})
	p.Add(level{0, faint()}, strokes{logE, violet(), 1.8})
	c.limits(p, bound{c.limit, "alarm at " + valueTicks{}.label(math.Pow(10, c.limit), 1)})
	return p
}

// plot is an empty one with its axes, gaps and heading.
func (c charts) plot(title string, keys []key, low, high float64, ticks plot.Ticker) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.Title.Text, p.Title.Padding = " ", 10 // room for the heading
	p.Title.TextStyle = textStyle(bodySize, ink())
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Tick.Label = label(axis.Tick.Label)
		axis.Tick.Color, axis.Color = grid(), grid()
		axis.Tick.Length = 3
		axis.Padding = 0
	}
	p.X.Min, p.X.Max, p.X.Tick.Marker = c.from, c.to, clockTicks{most: 8}
	p.Y.Min, p.Y.Max, p.Y.Tick.Marker = low, high, ticks
	p.Y.Width = 0
	p.Add(holes(c.metric.Path), rules{}, heading{title, keys})
	return p
}

// limits draws over all else what the values are held against, and the moments.
func (c charts) limits(p *plot.Plot, bounds ...bound) {
	for _, b := range bounds {
		p.Add(b)
	}
	for _, m := range c.moments {
		p.Add(m)
	}
}

// textStyle is how text is written.
func textStyle(size vg.Length, s shade) text.Style {
	return text.Style{Color: s, Font: font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size), Handler: plot.DefaultTextHandler}
}

// label keeps how the axis aligns its labels.
func label(style text.Style) text.Style {
	fresh := textStyle(bodySize-1, faint())
	fresh.XAlign, fresh.YAlign = style.XAlign, style.YAlign
	return fresh
}

// xy is a point in the plot's units.
type xy struct{ x, y float64 }

// segment is a line without a gap.
type segment []xy

// drawable tells whether a value has a place in a plot, which is neither NaN nor
// beyond what anything can be compared with.
func drawable(y float64) bool { return math.Abs(y) <= 1e15 }

// line are the segments of a series.
func (c charts) line(of func(judge.Mark) float64) []segment {
	var segments []segment
	open := false
	for _, m := range c.metric.Path {
		y := of(m)
		if !drawable(y) {
			open = false
			continue
		}
		if !open {
			segments = append(segments, nil)
			open = true
		}
		last := len(segments) - 1
		segments[last] = append(segments[last], xy{unix(m.At), y})
	}
	return segments
}
