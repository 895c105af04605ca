package report

import (
	"bytes"
	"fmt"
	"html/template"

	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// svg draws the plots as an element of the page. Its colours are names of the
// page's style sheet, and its text has the page's font.
func (c charts) svg(id, label string) (template.HTML, error) {
	canvas := vgsvg.New(chartWidth, c.height())
	c.draw(draw.New(canvas))
	var file bytes.Buffer
	if _, err := canvas.WriteTo(&file); err != nil {
		return "", fmt.Errorf("draw metric %s: %w", c.metric.Finding.Metric, err)
	}
	_, inner, found := bytes.Cut(file.Bytes(), []byte("<g "))
	if !found {
		return "", fmt.Errorf("draw metric %s: the drawing is empty", c.metric.Finding.Metric)
	}
	// The file's own head has fixed sizes and names other documents.
	return template.HTML(fmt.Sprintf( //nolint:gosec // the drawing's texts are escaped by its writer
		"<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-labelledby=\"%s\"><title id=\"%s\">%s</title>\n<g %s",
		chartWidth.Points(), c.height().Points(), id, id, template.HTMLEscapeString(label), named().Replace(string(inner)))), nil
}
