package spec

import (
	"bytes"
	"io"
	"os"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/term"
)

// WriteDiagnostics writes diagnostics for people, each with the lines of
// input that it is about. Where w is a terminal, they are wrapped to its
// width, and coloured unless NO_COLOR is set (https://no-color.org).
func WriteDiagnostics(w io.Writer, src *Source, diags hcl.Diagnostics) error {
	var files map[string]*hcl.File
	if src != nil {
		files = src.files
	}
	width, color := uint(0), false
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		color = os.Getenv("NO_COLOR") == ""
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			width = uint(columns)
		}
	}
	return hcl.NewDiagnosticTextWriter(w, files, width, color).WriteDiagnostics(diags)
}

// Line is where a value was set, for a diagnostic about it; nil if its file is
// not one of the source's.
func (s *Source) Line(at Origin) *hcl.Range {
	file := s.files[at.File]
	if file == nil || at.Line < 1 {
		return nil
	}
	lines := bytes.SplitAfter(file.Bytes, []byte("\n"))
	if at.Line > len(lines) {
		return nil
	}
	begin := 0
	for _, line := range lines[:at.Line-1] {
		begin += len(line)
	}
	text := bytes.TrimRight(lines[at.Line-1], "\r\n")
	return &hcl.Range{
		Filename: at.File,
		Start:    hcl.Pos{Line: at.Line, Column: 1, Byte: begin},
		End:      hcl.Pos{Line: at.Line, Column: len(text) + 1, Byte: begin + len(text)},
	}
}
